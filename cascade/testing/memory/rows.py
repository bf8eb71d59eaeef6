"""The rows of the store in memory: values that are never changed, only replaced."""

from __future__ import annotations

import datetime as dt
import uuid

from typing import NamedTuple

from cascade.domain.cascade import Attempt
from cascade.domain.policy import Policy
from cascade.domain.state import AttemptState, Channel, Lane, MessageState
from cascade.storage.inbox import NewReceipt


class MessageRow(NamedTuple):
    """A message; recipient and content are sealed."""

    id: uuid.UUID
    policy_id: int
    policy: Policy
    lane: Lane
    deadline: dt.datetime
    created_at: dt.datetime
    recipient: bytes
    recipient_hash: bytes
    content: bytes
    segments: int | None
    attempt_ids: tuple[int, ...] = ()  # in the order of the steps
    state: MessageState = MessageState.IN_PROGRESS
    success_met: bool = False
    ended_at: dt.datetime | None = None


class AttemptRow(NamedTuple):
    """An attempt, with the columns of its table."""

    id: int
    message_id: uuid.UUID
    step: int
    channel: Channel
    account: str
    state: AttemptState
    lane: Lane
    ttl: int  # seconds, of the step
    ttl_minimum: int  # seconds, of the provider
    due_at: dt.datetime | None
    expires_at: dt.datetime
    client_ref: str
    created_at: dt.datetime
    error: str | None = None
    ended_at: dt.datetime | None = None
    lease_until: dt.datetime | None = None
    tries: int = 0
    hints: int = 0
    provider_ref: str | None = None
    started_at: dt.datetime | None = None
    unknown_at: dt.datetime | None = None
    sent_at: dt.datetime | None = None
    delivered_at: dt.datetime | None = None
    read_at: dt.datetime | None = None
    polled_at: dt.datetime | None = None

    def attempt(self) -> Attempt:
        """As the engine sees it."""
        return Attempt(
            id=self.id,
            step=self.step,
            channel=self.channel,
            account=self.account,
            state=self.state,
            expires_at=self.expires_at,
            due_at=self.due_at,
            started_at=self.started_at,
            sent_at=self.sent_at,
            delivered_at=self.delivered_at,
            read_at=self.read_at,
            ended_at=self.ended_at,
            error=self.error,
        )


class ReceiptRow(NamedTuple):
    """A receipt in the inbox; `due_at` is set while it is not applied."""

    new: NewReceipt
    received_at: dt.datetime
    due_at: dt.datetime | None
    looks: int = 0
    asked: int | None = None  # the look after which a poll was asked; None: it is believed
    attempt_id: int | None = None
    applied_at: dt.datetime | None = None


class KeyRow(NamedTuple):
    """Who holds an idempotency key."""

    request_hash: bytes
    message_id: uuid.UUID
    expires_at: dt.datetime


class RefRow(NamedTuple):
    """One attempt that a provider gave this reference to."""

    attempt_id: int
    created_at: dt.datetime


class TickRow(NamedTuple):
    """A periodic work: when it ran last, and when it did so first after its newest outage."""

    ticked_at: dt.datetime
    resumed_at: dt.datetime
