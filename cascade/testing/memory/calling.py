"""Calling in memory: what `storage/queueing.py`, `claim.py` and `settle.py` do by SQL."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Iterable, Mapping, Sequence

from cascade.domain.state import AttemptState, MessageState
from cascade.storage.claim import Claimed
from cascade.storage.queueing import Queued
from cascade.storage.settle import Taken, Unclear, Unsent
from cascade.testing.memory.operations import Operations
from cascade.testing.memory.rows import AttemptRow, MessageRow, RefRow


SENDING, UNKNOWN, SENT = AttemptState.SENDING, AttemptState.UNKNOWN, AttemptState.SENT


class Calling(Operations):
    """Claims and what became of calls."""

    def queued(self, attempt_ids: Iterable[int]) -> list[Queued]:
        now = self.now()
        return [
            Queued(
                attempt_id=row.id,
                account=row.account,
                tries=row.tries,
                seconds_left=(row.expires_at - now).total_seconds(),
            )
            for row in self._queued(attempt_ids)
            if row.expires_at > now
        ]

    def put_off(self, waits: Mapping[int, float]) -> None:
        for row in self._queued(waits):
            slot = self.now() + dt.timedelta(seconds=waits[row.id])
            self.tables.put_attempt(row._replace(due_at=min(slot, row.expires_at), hints=0))

    def give_up(self, attempt_ids: Iterable[int]) -> Mapping[int, uuid.UUID]:
        now = self.now()
        hopeless = [row for row in self._queued(attempt_ids) if row.started_at is None]
        for row in hopeless:
            over_at = min(row.expires_at, now)
            given_up = row._replace(expires_at=over_at, due_at=now, error="rate_limit")
            self.tables.put_attempt(given_up)
        return {row.id: row.message_id for row in hopeless}

    def _queued(self, attempt_ids: Iterable[int]) -> list[AttemptRow]:
        found = (self.tables.attempts.get(one) for one in sorted(set(attempt_ids)))
        return [row for row in found if row and row.state is AttemptState.QUEUED]

    def claim(self, attempt_ids: Iterable[int], *, lease: float) -> list[Claimed]:
        found = (self.tables.attempts.get(one) for one in sorted(set(attempt_ids)))
        return [self._claimed(row, lease) for row in found if row and self._is_free(row)]

    def _is_free(self, row: AttemptRow) -> bool:
        now = self.now()
        if row.state is not AttemptState.QUEUED or row.expires_at <= now:
            return False
        message = self.tables.messages[row.message_id]
        least = dt.timedelta(seconds=max(row.ttl_minimum, 1))
        return message.state is MessageState.IN_PROGRESS and message.deadline >= now + least

    def _claimed(self, row: AttemptRow, lease: float) -> Claimed:
        now = self.now()
        message = self.tables.messages[row.message_id]
        until = now + dt.timedelta(seconds=lease)
        expires_at = _end_of_ttl(row, message, now)
        claimed = row._replace(
            state=SENDING,
            started_at=row.started_at or now,
            expires_at=expires_at,
            due_at=until,
            lease_until=until,
            tries=row.tries + 1,
            hints=0,
        )
        self.tables.put_attempt(claimed)
        return Claimed(
            attempt_id=row.id,
            message_id=str(row.message_id),
            account=row.account,
            client_ref=row.client_ref,
            tries=claimed.tries,
            seconds_left=(expires_at - now).total_seconds(),
            ttl_minimum=row.ttl_minimum,
            recipient=message.recipient,
            recipient_hash=message.recipient_hash,
            content=message.content,
        )

    def settle_taken(self, taken: Sequence[Taken], grace: dt.timedelta) -> None:
        now = self.now()
        for one in taken:
            row = self.tables.attempts[one.attempt_id]
            expires_at = max(row.expires_at, now + dt.timedelta(seconds=one.ttl))
            settled = row._replace(
                state=_higher(row.state, SENT),
                sent_at=row.sent_at or now,
                error=None if row.state.rank <= SENT.rank else row.error,
                expires_at=expires_at,
                due_at=expires_at + grace if row.ended_at is None else None,
                provider_ref=one.refs[0] if one.refs else row.provider_ref,
                lease_until=None,
            )
            self.tables.put_attempt(settled)
            for ref in one.refs:
                self._refer(one.account, ref, one.attempt_id)

    def _refer(self, account: str, ref: str, attempt_id: int) -> None:
        known = self.tables.refs.get((account, ref), ())
        new = RefRow(attempt_id=attempt_id, created_at=self.now())
        self.tables.put(self.tables.refs, (account, ref), (*known, new))

    def settle_unclear(self, unclear: Sequence[Unclear], grace: dt.timedelta) -> None:
        now = self.now()
        for one in unclear:
            row = self.tables.attempts[one.attempt_id]
            if row.tries != one.tries or row.state.rank < SENDING.rank:
                continue
            expires_at = max(row.expires_at, now + dt.timedelta(seconds=one.ttl))
            is_silent = row.state.rank <= UNKNOWN.rank and row.error is None
            settled = row._replace(
                state=_higher(row.state, UNKNOWN),
                error=one.code if is_silent else row.error,
                expires_at=expires_at,
                due_at=expires_at + grace if row.ended_at is None else None,
                unknown_at=now,
                lease_until=None,
            )
            self.tables.put_attempt(settled)

    def settle_unsent(self, unsent: Sequence[Unsent]) -> int:
        moved = 0
        for one in unsent:
            row = self.tables.attempts[one.attempt_id]
            if row.tries != one.tries or row.state is not SENDING or row.ended_at is not None:
                continue
            again_at = self.now() + dt.timedelta(seconds=one.pause)
            settled = row._replace(
                state=AttemptState.RETRY,
                error=one.code,
                due_at=min(again_at, row.expires_at),
                lease_until=None,
            )
            self.tables.put_attempt(settled)
            moved += 1
        return moved


def _higher(one: AttemptState, other: AttemptState) -> AttemptState:
    return one if one.rank >= other.rank else other


def _end_of_ttl(row: AttemptRow, message: MessageRow, now: dt.datetime) -> dt.datetime:
    """The first call turns the end of the waiting into the end of the TTL; a late retry is given
    the provider's minimum all the same.
    """
    if row.started_at is None:
        return min(now + dt.timedelta(seconds=row.ttl), message.deadline)
    if row.ttl_minimum == 0:
        return row.expires_at
    return max(row.expires_at, now + dt.timedelta(seconds=row.ttl_minimum))
