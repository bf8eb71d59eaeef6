"""One message with its attempts, as the engine sees them: values that are never changed."""

from __future__ import annotations

import datetime as dt
import uuid

from typing import NamedTuple

from cascade.domain.policy import Policy, Step
from cascade.domain.state import AttemptState, Channel, Lane, MessageState


class Attempt(NamedTuple):
    """One message on one channel through one account.

    Before the first call `expires_at` bounds the waiting; from the first call on it is the end
    of the TTL. An attempt is live while `ended_at` is None; live attempts carry `due_at`.
    """

    id: int | None  # None until the database has given it one
    step: int
    channel: Channel
    account: str
    state: AttemptState
    expires_at: dt.datetime
    due_at: dt.datetime | None
    started_at: dt.datetime | None = None  # the first call
    sent_at: dt.datetime | None = None
    delivered_at: dt.datetime | None = None
    read_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    error: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether its step may still change the course of the cascade."""
        return self.ended_at is None

    @property
    def is_delivered(self) -> bool:
        """Whether it reached the person; such an attempt is charged."""
        return self.state.rank >= AttemptState.DELIVERED.rank


class Cascade(NamedTuple):
    """A message on its way: its policy version, and its attempts in the order of the steps."""

    message_id: uuid.UUID
    lane: Lane
    policy: Policy
    deadline: dt.datetime
    state: MessageState
    success_met: bool
    ended_at: dt.datetime | None
    attempts: tuple[Attempt, ...]

    @property
    def current(self) -> Attempt:
        """The attempt of the step that was opened last."""
        return self.attempts[-1]

    def attempt(self, attempt_id: int) -> Attempt:
        """Raises KeyError if the message has no such attempt."""
        for attempt in self.attempts:
            if attempt.id == attempt_id:
                return attempt
        raise KeyError(attempt_id)

    def step_of(self, attempt: Attempt) -> Step:
        """The policy's step that `attempt` serves."""
        return self.policy.steps[attempt.step]

    def with_attempt(self, changed: Attempt) -> Cascade:
        """The same message with one attempt replaced."""
        attempts = tuple(changed if a.id == changed.id else a for a in self.attempts)
        return self._replace(attempts=attempts)
