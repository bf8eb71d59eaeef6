"""Reading one message whole, as its caller may see it."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.domain.state import AttemptState, Channel, Lane, MessageState, Success


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptStatus:
    """A provider's word, as it came."""

    status: AttemptState
    native_status: str
    native_code: str
    event_at: dt.datetime | None  # the provider's clock
    received_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStatus:
    """One step: what was tried, and what came of it. `cost` is None until it is charged, and
    where no rate was there to charge it by; `units` (messages or segments) are set with a charge.
    """

    step: int
    channel: Channel
    account: str
    state: AttemptState
    success: Success  # what the step asks for
    ttl: int  # seconds, from `started_at`
    error: str | None
    tries: int
    created_at: dt.datetime
    expires_at: dt.datetime  # end of the waiting; from `started_at` on, of the TTL
    started_at: dt.datetime | None  # the first call
    unknown_at: dt.datetime | None  # a call ended, and nobody knew whether the provider took it
    sent_at: dt.datetime | None
    delivered_at: dt.datetime | None
    read_at: dt.datetime | None
    ended_at: dt.datetime | None
    cost: Decimal | None
    currency: str | None
    units: int | None
    receipts: tuple[ReceiptStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStatus:
    """A message with its timeline; `channel` is the one that serves it now or delivered it."""

    id: uuid.UUID
    sender: str
    state: MessageState
    success_met: bool
    channel: Channel
    policy: str
    policy_version: int
    priority: Lane
    send_at: dt.datetime | None
    deadline: dt.datetime
    created_at: dt.datetime
    ended_at: dt.datetime | None
    attempts: tuple[AttemptStatus, ...]

    @property
    def cost(self) -> dict[str, Decimal]:
        """What was charged so far, by currency."""
        total: dict[str, Decimal] = {}
        for attempt in self.attempts:
            if attempt.cost is not None and attempt.currency is not None:
                total[attempt.currency] = total.get(attempt.currency, Decimal(0)) + attempt.cost
        return total


_MESSAGE = text("""
    SELECT m.id, m.sender, m.state, m.success_met, m.lane, m.send_at, m.deadline,
        m.created_at, m.ended_at, p.name AS policy, p.version AS policy_version
    FROM cascade.messages m JOIN cascade.policies p ON p.id = m.policy_id
    WHERE m.id = :id
""")

_ATTEMPTS = text("""
    SELECT a.id, a.step, a.channel, a.account, a.state, a.ttl, a.error, a.tries, a.created_at,
        a.expires_at, a.started_at, a.unknown_at, a.sent_at, a.delivered_at, a.read_at, a.ended_at,
        c.amount, c.currency, c.units, p.steps -> CAST(a.step AS integer) ->> 'success' AS success
    FROM cascade.attempts a
    JOIN cascade.messages m ON m.id = a.message_id
    JOIN cascade.policies p ON p.id = m.policy_id
    LEFT JOIN cascade.charges c ON c.attempt_id = a.id
    WHERE a.message_id = :id ORDER BY a.step, a.id
""")

_RECEIPTS = text("""
    SELECT r.attempt_id, r.status, r.native_status, r.native_code, r.event_at, r.received_at
    FROM cascade.receipts r JOIN cascade.attempts a ON a.id = r.attempt_id
    WHERE a.message_id = :id ORDER BY r.id
""")


def read_status(connection: Connection, message_id: uuid.UUID) -> MessageStatus | None:
    """The message with its attempts and receipts; None if there is no such message."""
    values = {"id": message_id}
    row = connection.execute(_MESSAGE, values).one_or_none()
    if row is None:
        return None
    receipts = connection.execute(_RECEIPTS, values).all()
    attempts = [
        _attempt(one, [_receipt(r) for r in receipts if r.attempt_id == one.id])
        for one in connection.execute(_ATTEMPTS, values)
    ]
    return MessageStatus(
        id=row.id,
        sender=row.sender,
        state=MessageState(row.state),
        success_met=row.success_met,
        channel=_channel(attempts),
        policy=row.policy,
        policy_version=row.policy_version,
        priority=Lane(row.lane),
        send_at=row.send_at,
        deadline=row.deadline,
        created_at=row.created_at,
        ended_at=row.ended_at,
        attempts=tuple(attempts),
    )


def _channel(attempts: Sequence[AttemptStatus]) -> Channel:
    delivered = [attempt for attempt in attempts if attempt.delivered_at is not None]
    return (delivered or list(attempts))[0 if delivered else -1].channel


def _attempt(row: Row[Any], receipts: Sequence[ReceiptStatus]) -> AttemptStatus:
    return AttemptStatus(
        step=row.step,
        channel=Channel(row.channel),
        account=row.account,
        state=AttemptState(row.state),
        success=Success(row.success),
        ttl=row.ttl,
        error=row.error,
        tries=row.tries,
        created_at=row.created_at,
        expires_at=row.expires_at,
        started_at=row.started_at,
        unknown_at=row.unknown_at,
        sent_at=row.sent_at,
        delivered_at=row.delivered_at,
        read_at=row.read_at,
        ended_at=row.ended_at,
        cost=row.amount,
        currency=row.currency,
        units=row.units,
        receipts=tuple(receipts),
    )


def _receipt(row: Row[Any]) -> ReceiptStatus:
    return ReceiptStatus(
        status=AttemptState(row.status),
        native_status=row.native_status,
        native_code=row.native_code,
        event_at=row.event_at,
        received_at=row.received_at,
    )
