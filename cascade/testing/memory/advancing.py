"""Advancing in memory: what `storage/cascades.py` and `charges.py` do by SQL."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Collection, Iterable, Mapping, Sequence

from cascade.domain.cascade import Attempt, Cascade
from cascade.domain.engine import Word
from cascade.domain.hint import Hint
from cascade.domain.money import RateBook
from cascade.domain.state import Channel
from cascade.storage.charges import Charge, Delivered
from cascade.storage.fall_back import FellBack
from cascade.testing.memory.accepting import Accepting
from cascade.testing.memory.rows import MessageRow


_HOUR = dt.timedelta(hours=1)


class Advancing(Accepting):
    """Messages under lock, and charges."""

    def lock(
        self,
        message_ids: Iterable[uuid.UUID],
        *,
        skip_locked: bool = False,  # noqa: ARG002  # nobody else holds anything
    ) -> dict[uuid.UUID, Cascade]:
        known = sorted(set(message_ids) & self.tables.messages.keys())
        return {one: self._cascade(self.tables.messages[one]) for one in known}

    def _cascade(self, row: MessageRow) -> Cascade:
        return Cascade(
            message_id=row.id,
            lane=row.lane,
            policy=row.policy,
            deadline=row.deadline,
            state=row.state,
            success_met=row.success_met,
            ended_at=row.ended_at,
            attempts=tuple(map(self.tables.attempt, row.attempt_ids)),
        )

    def conclude(
        self,
        delivered: Mapping[int, str],  # noqa: ARG002  # all are left to the engine
        message_ids: Collection[str],  # noqa: ARG002  # nobody else holds anything
    ) -> list[Delivered]:
        return []

    def fall_back(self, refused: Mapping[str, Word]) -> FellBack:  # noqa: ARG002  # as above
        return FellBack()

    def write(
        self,
        before: Mapping[uuid.UUID, Cascade],
        after: Mapping[uuid.UUID, Cascade],
        now: dt.datetime,
    ) -> list[Hint]:
        hints = []
        for message_id, new in after.items():
            old = before[message_id]
            if new is old:
                continue
            for known, attempt in zip(old.attempts, new.attempts, strict=False):
                if attempt is not known:
                    self._decide(attempt)
            if (new.state, new.success_met) != (old.state, old.success_met):
                self._end(new)
            for attempt in new.attempts[len(old.attempts) :]:
                hints += self.insert_attempt(message_id, attempt, now)
        return hints

    def _decide(self, new: Attempt) -> None:
        """Nothing moves an attempt down here either."""
        row = self.tables.attempts[new.id or 0]
        if row.state.rank <= new.state.rank:
            decided = row._replace(
                state=new.state,
                due_at=new.due_at,
                error=new.error,
                sent_at=new.sent_at,
                delivered_at=new.delivered_at,
                read_at=new.read_at,
                ended_at=new.ended_at,
            )
            self.tables.put_attempt(decided)

    def _end(self, new: Cascade) -> None:
        row = self.tables.messages[new.message_id]
        ended = row._replace(state=new.state, success_met=new.success_met, ended_at=new.ended_at)
        self.tables.put(self.tables.messages, new.message_id, ended)

    def rate_book(self) -> RateBook:
        return self.tables.rates

    def delivered(self, attempt_ids: Iterable[int]) -> list[Delivered]:
        return [self._delivered(one) for one in attempt_ids if one in self.tables.attempts]

    def _delivered(self, one: int) -> Delivered:
        row = self.tables.attempts[one]
        message = self.tables.messages[row.message_id]
        assert row.delivered_at is not None  # noqa: S101  # only such are asked for
        return Delivered(
            attempt_id=one,
            message_id=str(row.message_id),
            account=row.account,
            channel=row.channel,
            started_at=row.started_at or row.created_at,
            delivered_at=row.delivered_at,
            recipient=message.recipient,
            segments=message.segments,
            sms_account=self._sms_account(message),
        )

    def _sms_account(self, message: MessageRow) -> str | None:
        for step in message.policy.steps:
            if step.channel is Channel.SMS:
                return step.account
        facts = self.tables.channels.get(Channel.SMS)
        return None if facts is None else facts.account

    def contents(self, message_ids: Iterable[str]) -> dict[str, bytes]:
        return {one: self.tables.messages[uuid.UUID(one)].content for one in message_ids}

    def book(self, charges: Sequence[Charge]) -> None:
        for charge in charges:
            if charge.attempt_id not in self.tables.charges:
                self.tables.put(self.tables.charges, charge.attempt_id, charge)

    def defer_message(self, message_id: uuid.UUID) -> None:
        now = self.now()
        for one in self.tables.messages[message_id].attempt_ids:
            row = self.tables.attempts[one]
            if row.due_at is not None and row.due_at <= now:
                hints = min(row.hints + 1, 12)
                again_at = now + min(_HOUR, dt.timedelta(seconds=2**hints))
                self.tables.put_attempt(row._replace(due_at=again_at, hints=hints))
