"""The cascade's rules: pure functions from a message, an event and the time to the message after.

Storage locks a message, asks one of these functions, and writes the difference. Nothing here
reads a clock, and the same facts in any order leave an attempt in the same state.
"""

from __future__ import annotations

import datetime as dt

from dataclasses import dataclass
from types import MappingProxyType

from cascade.domain.cascade import Attempt, Cascade
from cascade.domain.policy import Policy, Step
from cascade.domain.state import UNSENT, AttemptState, Lane, MessageState, may_decide, may_hear


RECEIPT_GRACE = dt.timedelta(seconds=2)  # after the TTL, for the receipt that is on its way
# A published hint that was not claimed is published again: lost, or still behind others, where each
# more of it costs a write and makes the queue longer. Codes that people wait for are urgent. No
# longer than a lease, so that a claim need not move `due_at`.
HINT_PATIENCE = MappingProxyType(
    {
        Lane.URGENT: dt.timedelta(seconds=2),
        Lane.NORMAL: dt.timedelta(seconds=8),
        Lane.BULK: dt.timedelta(seconds=8),
    }
)
LATE_WINDOW = dt.timedelta(hours=72)  # how long after its end a message may still become delivered

_ENDS = frozenset(
    {
        AttemptState.CANCELLED,
        AttemptState.SKIPPED,
        AttemptState.UNSUPPORTED,
        AttemptState.REJECTED,
        AttemptState.EXPIRED,
        AttemptState.UNDELIVERABLE,
        AttemptState.READ,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A provider's word about one attempt, from an answer, a webhook or a poll."""

    attempt_id: int
    state: AttemptState
    code: str | None = None


def first_attempt(
    policy: Policy,
    *,
    lane: Lane,
    deadline: dt.datetime,
    send_at: dt.datetime | None,
    now: dt.datetime,
) -> Attempt:
    """The attempt that a new message starts with: queued, or scheduled for `send_at`."""
    opened = send_at or now
    attempt = _open(policy, 0, lane=lane, deadline=deadline, now=opened)
    if send_at is None:
        return attempt
    return attempt._replace(state=AttemptState.SCHEDULED, due_at=send_at)


def attempt_after(
    policy: Policy, step: int, *, lane: Lane, deadline: dt.datetime, now: dt.datetime
) -> Attempt | None:
    """The attempt of the step after `step`; None if there is none, or not the time for it."""
    if step + 1 >= len(policy.steps) or not has_time(policy.steps[step + 1], deadline, now):
        return None
    return _open(policy, step + 1, lane=lane, deadline=deadline, now=now)


def has_time(step: Step, deadline: dt.datetime, now: dt.datetime) -> bool:
    """Whether the step, opened now, can give its provider the least time that it takes."""
    return now + _least(step) <= deadline


def hear(cascade: Cascade, word: Word, now: dt.datetime) -> Cascade:
    """Joins a provider's word to its attempt; whatever it brings about follows at once."""
    attempt = cascade.attempt(word.attempt_id)
    if not may_hear(attempt.state, word.state):
        return cascade
    heard = _heard(attempt, word, now)
    success = cascade.step_of(heard).success
    if heard.is_live and (heard.state in _ENDS or success.is_met_by(heard.state)):
        heard = _ended(heard, now)
    return _follow(cascade.with_attempt(heard), now)


def expire(cascade: Cascade, attempt_id: int, now: dt.datetime) -> Cascade:
    """Ends the attempt's step if its time is over; otherwise changes nothing.

    What still waits to be sent is cancelled if its message has ended meanwhile.
    """
    attempt = cascade.attempt(attempt_id)
    if not attempt.is_live:
        return cascade
    if cascade.state is not MessageState.IN_PROGRESS and attempt.state in UNSENT:
        return cascade.with_attempt(_cancelled(attempt, now))
    if now < _over_at(attempt):
        return cascade
    if not attempt.is_delivered:
        if not may_decide(attempt.state, AttemptState.EXPIRED):  # a call is in the air
            return cascade
        attempt = attempt._replace(state=AttemptState.EXPIRED, error=attempt.error or "expired")
    return _follow(cascade.with_attempt(_ended(attempt, now)), now)


def cancel(cascade: Cascade, now: dt.datetime) -> Cascade:
    """Ends a message at its caller's wish: what was not sent yet is not sent.

    A message that has ended stays as it is; an attempt in flight lives on to hear its receipt.
    """
    if cascade.state is not MessageState.IN_PROGRESS:
        return cascade
    return _over(cascade, MessageState.CANCELLED, success_met=False, now=now)


def _heard(attempt: Attempt, word: Word, now: dt.datetime) -> Attempt:
    delivered = word.state.rank >= AttemptState.DELIVERED.rank
    taken = delivered or word.state is AttemptState.SENT  # the others may be a refusal at once
    return attempt._replace(
        state=word.state,
        error=_reason(attempt, word),
        sent_at=attempt.sent_at or (now if taken else None),
        delivered_at=attempt.delivered_at or (now if delivered else None),
        read_at=now if word.state is AttemptState.READ else attempt.read_at,
        due_at=attempt.expires_at + RECEIPT_GRACE if attempt.is_live else None,
    )


def _reason(attempt: Attempt, word: Word) -> str | None:
    """Why the attempt failed, in the provider's words; a delivery leaves nothing to explain."""
    if word.state.rank >= AttemptState.DELIVERED.rank:
        return None
    return word.code if word.state in _ENDS else attempt.error


def _over_at(attempt: Attempt) -> dt.datetime:
    """When nothing more is waited for: a call that was made is given the receipt grace."""
    if attempt.state in UNSENT:
        return attempt.expires_at
    return attempt.expires_at + RECEIPT_GRACE


def _follow(cascade: Cascade, now: dt.datetime) -> Cascade:
    """What the states of the attempts mean for the message; asked again, it answers the same."""
    met = any(cascade.step_of(a).success.is_met_by(a.state) for a in cascade.attempts)
    if cascade.state is not MessageState.IN_PROGRESS:
        return _promoted(cascade, success_met=met, now=now)
    if met:
        return _over(cascade, MessageState.DELIVERED, success_met=True, now=now)
    if cascade.current.is_live:
        return cascade
    return _advanced(cascade, now)


def _promoted(cascade: Cascade, *, success_met: bool, now: dt.datetime) -> Cascade:
    """A late delivery turns `undelivered` into `delivered`; `cancelled` stays."""
    if cascade.state is MessageState.CANCELLED or cascade.ended_at is None:
        return cascade
    if now > cascade.ended_at + LATE_WINDOW or not any(a.is_delivered for a in cascade.attempts):
        return cascade
    return cascade._replace(
        state=MessageState.DELIVERED,
        success_met=cascade.success_met or success_met,
    )


def _advanced(cascade: Cascade, now: dt.datetime) -> Cascade:
    """Opens the next step there is time for; ends the message after the last."""
    for place in range(cascade.current.step + 1, len(cascade.policy.steps)):
        opened = _open(
            cascade.policy, place, lane=cascade.lane, deadline=cascade.deadline, now=now
        )
        if has_time(cascade.policy.steps[place], cascade.deadline, now):
            return cascade._replace(attempts=(*cascade.attempts, opened))
        skipped = opened._replace(state=AttemptState.SKIPPED, error="deadline")
        cascade = cascade._replace(attempts=(*cascade.attempts, _ended(skipped, now)))
    delivered = any(attempt.is_delivered for attempt in cascade.attempts)
    state = MessageState.DELIVERED if delivered else MessageState.UNDELIVERED
    return _over(cascade, state, success_met=False, now=now)


def _least(step: Step) -> dt.timedelta:
    return dt.timedelta(seconds=max(step.ttl_minimum, 1))


def _open(
    policy: Policy, place: int, *, lane: Lane, deadline: dt.datetime, now: dt.datetime
) -> Attempt:
    step = policy.steps[place]
    # Waiting longer would leave the provider less than it takes: better the next step in time.
    patience = deadline - _least(step)
    if step.max_wait is not None:
        patience = min(patience, now + dt.timedelta(seconds=step.max_wait))
    return Attempt(
        id=None,
        step=place,
        channel=step.channel,
        account=step.account,
        state=AttemptState.QUEUED,
        expires_at=patience,
        due_at=min(now + HINT_PATIENCE[lane], patience),
    )


def _over(
    cascade: Cascade, state: MessageState, *, success_met: bool, now: dt.datetime
) -> Cascade:
    """Ends the message; attempts that are not being sent yet are cancelled with it."""
    attempts = tuple(
        _cancelled(a, now) if a.is_live and may_decide(a.state, AttemptState.CANCELLED) else a
        for a in cascade.attempts
    )
    return cascade._replace(state=state, success_met=success_met, ended_at=now, attempts=attempts)


def _cancelled(attempt: Attempt, now: dt.datetime) -> Attempt:
    return attempt._replace(state=AttemptState.CANCELLED, ended_at=now, due_at=None)


def _ended(attempt: Attempt, now: dt.datetime) -> Attempt:
    return attempt._replace(ended_at=now, due_at=None)
