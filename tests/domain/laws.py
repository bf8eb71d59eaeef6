"""What must hold of a message whatever happens to it: checked after every change."""

from __future__ import annotations

import datetime as dt

from cascade.domain.cascade import Attempt, Cascade
from cascade.domain.engine import LATE_WINDOW, RECEIPT_GRACE
from cascade.domain.policy import Step
from cascade.domain.state import (
    UNSENT,
    AttemptState,
    MessageState,
    Success,
    may_decide,
    may_hear,
)


_ENDINGS = {
    MessageState.IN_PROGRESS: set(MessageState),
    MessageState.DELIVERED: {MessageState.DELIVERED},
    MessageState.UNDELIVERED: {MessageState.UNDELIVERED, MessageState.DELIVERED},
    MessageState.CANCELLED: {MessageState.CANCELLED},
}


def check_message(cascade: Cascade) -> None:
    """The laws of a message as it stands."""
    _check_steps(cascade)
    for attempt in cascade.attempts:
        _check_attempt(attempt)
    live = [attempt for attempt in cascade.attempts if attempt.is_live]
    assert len(live) <= 1
    in_progress = cascade.state is MessageState.IN_PROGRESS
    assert in_progress == (cascade.ended_at is None)
    if in_progress:
        assert live == [cascade.current]
    assert not any(cascade.step_of(a).success.is_met_by(a.state) for a in live)
    _check_outcome(cascade)


def check_change(before: Cascade, after: Cascade, now: dt.datetime) -> None:
    """The laws of one change at `now`."""
    assert after.state in _ENDINGS[before.state]
    if before.ended_at is not None:
        assert after.ended_at == before.ended_at
    if before.state is not after.state and before.state is MessageState.UNDELIVERED:
        assert before.ended_at is not None
        assert now <= before.ended_at + LATE_WINDOW
    for old, new in zip(before.attempts, after.attempts, strict=False):
        _check_way(old, new)
        _check_patience(old, new, success=after.step_of(new).success, now=now)
    opened = after.attempts[len(before.attempts) :]
    if opened:
        assert before.state is MessageState.IN_PROGRESS
        assert not after.attempts[len(before.attempts) - 1].is_live
    for attempt in opened:
        _check_opened(attempt, after.step_of(attempt), deadline=after.deadline, now=now)
    _check_nothing_unsent_is_left(before, after)


def _check_steps(cascade: Cascade) -> None:
    """One attempt per step, in the policy's order, without a gap."""
    assert [attempt.step for attempt in cascade.attempts] == list(range(len(cascade.attempts)))
    for attempt in cascade.attempts:
        step = cascade.step_of(attempt)
        assert (attempt.channel, attempt.account) == (step.channel, step.account)


def _check_attempt(attempt: Attempt) -> None:
    assert attempt.is_live == (attempt.due_at is not None)
    assert attempt.is_delivered == (attempt.delivered_at is not None)
    assert (attempt.state is AttemptState.READ) == (attempt.read_at is not None)
    waits = {AttemptState.UNKNOWN, AttemptState.SENT, AttemptState.DELIVERED}
    if attempt.is_live:
        assert attempt.state in {*UNSENT, AttemptState.SENDING, *waits}
        if attempt.state in waits:
            assert attempt.due_at == attempt.expires_at + RECEIPT_GRACE
    else:
        assert attempt.state not in {*UNSENT, AttemptState.SENDING, AttemptState.UNKNOWN}


def _check_outcome(cascade: Cascade) -> None:
    delivered = any(attempt.is_delivered for attempt in cascade.attempts)
    met = any(cascade.step_of(a).success.is_met_by(a.state) for a in cascade.attempts)
    assert not (met and cascade.state is MessageState.IN_PROGRESS)
    if cascade.success_met:
        assert met
        assert cascade.state is MessageState.DELIVERED
    if cascade.state is MessageState.DELIVERED:
        assert delivered
    if cascade.state is MessageState.UNDELIVERED and cascade.ended_at is not None:
        window = cascade.ended_at + LATE_WINDOW
        assert all(a.delivered_at is None or a.delivered_at > window for a in cascade.attempts)


def _check_way(old: Attempt, new: Attempt) -> None:
    """From `old` to `new` by a way of the table; what is over stays over."""
    assert (
        old.state is new.state
        or may_decide(old.state, new.state)
        or may_hear(old.state, new.state)
    )
    assert not old.is_delivered or (new.is_delivered and new.delivered_at == old.delivered_at)
    if not old.is_live:
        assert new.ended_at == old.ended_at
    if old.started_at is not None:
        assert new.started_at == old.started_at
        assert new.expires_at >= old.expires_at


def _check_patience(old: Attempt, new: Attempt, *, success: Success, now: dt.datetime) -> None:
    """A delivery that is still to be read is waited for until its time is over."""
    if old.is_live and not new.is_live and new.is_delivered and not success.is_met_by(new.state):
        assert now >= old.expires_at + RECEIPT_GRACE


def _check_opened(
    attempt: Attempt, step: Step, *, deadline: dt.datetime, now: dt.datetime
) -> None:
    has_time = now + dt.timedelta(seconds=max(step.ttl_minimum, 1)) <= deadline
    if not has_time:
        assert attempt.state is AttemptState.SKIPPED
        assert attempt.error == "deadline"
        return
    assert attempt.state is AttemptState.QUEUED
    waits = deadline - dt.timedelta(seconds=max(step.ttl_minimum, 1))
    if step.max_wait is not None:
        waits = min(waits, now + dt.timedelta(seconds=step.max_wait))
    assert attempt.expires_at == waits
    assert attempt.due_at is not None
    assert now <= attempt.due_at <= waits


def _check_nothing_unsent_is_left(before: Cascade, after: Cascade) -> None:
    """An ended message holds nothing that waits to be sent, except a call that came back unsent
    after the end: nobody can claim it any more.
    """
    if after.state is MessageState.IN_PROGRESS:
        return
    was_over = before.state is not MessageState.IN_PROGRESS
    for old, new in zip(before.attempts, after.attempts, strict=False):
        if new.is_live and new.state in UNSENT:
            assert was_over
            assert old.state in {*UNSENT, AttemptState.SENDING}
