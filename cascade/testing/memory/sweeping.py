"""Sweeping in memory: what `storage/sweep.py` does by SQL."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from cascade.domain.engine import HINT_PATIENCE
from cascade.domain.hint import Hint
from cascade.domain.state import UNSENT, AttemptState, Lane, MessageState
from cascade.storage.sweep import GAP, LAG_LIMIT, LAG_PATIENCE, POLL_PATIENCE
from cascade.testing.memory.hearing import named_attempts, own_attempt, was_polled
from cascade.testing.memory.operations import Operations
from cascade.testing.memory.rows import AttemptRow, TickRow
from cascade.testing.memory.tables import Tables


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NEVER = TickRow(ticked_at=_EPOCH, resumed_at=_EPOCH)
_LEASED = frozenset({AttemptState.SENDING, AttemptState.SENT, AttemptState.DELIVERED})
_LONGEST = dt.timedelta(minutes=5)  # between two hints
_HEARD = frozenset({AttemptState.UNKNOWN, AttemptState.SENT, AttemptState.DELIVERED})


class Sweeping(Operations):
    """What is due."""

    def begin(self, name: str, pause: dt.timedelta) -> bool:
        now, row = self.now(), self.tables.ticks.get(name, _NEVER)
        if now - pause < row.ticked_at <= now + GAP:
            return False
        is_resumed = row.ticked_at <= now - GAP and row.resumed_at < row.ticked_at
        resumed_at = now if is_resumed else min(row.resumed_at, now)
        self.tables.put(self.tables.ticks, name, TickRow(ticked_at=now, resumed_at=resumed_at))
        return True

    def finish(self, name: str, pause: dt.timedelta) -> None:
        row = self.tables.ticks.get(name, _NEVER)
        released = TickRow(ticked_at=self.now() - pause, resumed_at=row.resumed_at)
        self.tables.put(self.tables.ticks, name, released)

    def due_lanes(self) -> list[Lane]:
        now = self.now()
        return [lane for lane in Lane if self.tables.due_of(lane, now)]

    def requeue(self, lane: Lane, quota: int) -> list[Hint]:
        now = self.now()
        due = [row for row in self.tables.due_of(lane, now) if self._may_start(row, now)]
        for row in due[:quota]:
            pause = min(_LONGEST, HINT_PATIENCE[lane] * 2 ** min(row.hints, 10))
            again_at = min(row.expires_at, now + pause)
            queued = row._replace(
                state=AttemptState.QUEUED, due_at=again_at, hints=min(row.hints + 1, 10)
            )
            self.tables.put_attempt(queued)
        return [Hint(row.channel, lane, row.id) for row in due[:quota]]

    def _may_start(self, row: AttemptRow, now: dt.datetime) -> bool:
        if row.state not in UNSENT or row.expires_at <= now:
            return False
        return self.tables.messages[row.message_id].state is MessageState.IN_PROGRESS

    def postpone(self, lane: Lane, quota: int) -> int:  # noqa: ARG002  # all is due when it must be
        return 0

    def break_leases(
        self, lane: Lane, quota: int, *, lease: dt.timedelta, grace: dt.timedelta
    ) -> int:
        now = self.now()
        broken = [row for row in self.tables.due_of(lane, now) if _is_broken(row, now)][:quota]
        for row in broken:
            until = _provider_until(row, lease)
            changed = row._replace(expires_at=until, due_at=until + grace, lease_until=None)
            if row.state is AttemptState.SENDING:
                error = "lease" if row.error is None else row.error
                changed = changed._replace(state=AttemptState.UNKNOWN, unknown_at=now, error=error)
            self.tables.put_attempt(changed)
        return len(broken)

    def expired(
        self, lane: Lane, quota: int, *, pollable: Collection[str]
    ) -> Mapping[int, uuid.UUID]:
        now = self.now()
        due = self.tables.due_of(lane, now)
        if not due:
            return {}
        inbox = _Inbox.of(self.tables, now)
        over = [(row.id, row.message_id) for row in due if self._is_over(row, inbox, pollable)]
        return dict(over[:quota])

    def _is_over(self, row: AttemptRow, inbox: _Inbox, pollable: Collection[str]) -> bool:
        now = self.now()
        if row.state in UNSENT:
            message = self.tables.messages[row.message_id]
            return row.expires_at <= now or message.state is not MessageState.IN_PROGRESS
        if row.state not in _HEARD or row.lease_until is not None or inbox.names(row.id):
            return False
        if row.account in inbox.lagging and _due(row) > now - LAG_PATIENCE:
            return False
        if row.account not in pollable or was_polled(row):
            return True
        resumed_at = self.tables.ticks.get("tick", _NEVER).resumed_at
        return max(_due(row), resumed_at) <= now - POLL_PATIENCE

    def awaiting(self, message_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        inbox = _Inbox.of(self.tables, self.now())
        return {
            message_id
            for message_id in message_ids
            for one in self.tables.messages[message_id].attempt_ids
            if self.tables.attempts[one].due_at is not None and inbox.names(one)
        }


_LOOKS_OF_UNCONFIRMED = 3  # what may be forged holds up nothing for longer


@dataclass(frozen=True, slots=True)
class _Inbox:
    """Receipts that are not applied yet: the attempts that they name, and who is behind."""

    named: frozenset[int]
    lagging: frozenset[str]  # accounts

    @classmethod
    def of(cls, tables: Tables, now: dt.datetime) -> _Inbox:
        named, lagging = set(), set()
        for row in tables.unapplied.values():
            if row.asked is not None and row.looks > _LOOKS_OF_UNCONFIRMED:
                continue
            own = own_attempt(tables, row)
            if own is not None:
                named.add(own.id)
            named.update(attempt.id for attempt, _ in named_attempts(tables, row))
            if row.looks == 0 and row.received_at < now - LAG_LIMIT:
                lagging.add(row.new.account)
        return cls(frozenset(named), frozenset(lagging))

    def names(self, attempt_id: int) -> bool:
        return attempt_id in self.named


def _due(row: AttemptRow) -> dt.datetime:
    assert row.due_at is not None  # noqa: S101  # it was found by it
    return row.due_at


def _is_broken(row: AttemptRow, now: dt.datetime) -> bool:
    return row.state in _LEASED and row.lease_until is not None and row.lease_until <= now


def _provider_until(row: AttemptRow, lease: dt.timedelta) -> dt.datetime:
    """Until when a provider may deliver whose call nobody settled."""
    if row.ttl_minimum == 0 or row.lease_until is None:
        return row.expires_at
    least = row.lease_until + dt.timedelta(seconds=row.ttl_minimum)
    return max(row.expires_at + lease, least)
