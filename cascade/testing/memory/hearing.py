"""Hearing in memory: what `storage/inbox.py` and `polling.py` do by SQL."""

from __future__ import annotations

import datetime as dt

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from cascade.domain.state import AttemptState, Lane
from cascade.storage.inbox import (
    CALL_TOLERANCE,
    DEFER_PATIENCE,
    MATCH_WINDOW,
    NewReceipt,
    Unapplied,
)
from cascade.storage.polling import Unanswered
from cascade.testing.memory.operations import Operations
from cascade.testing.memory.rows import AttemptRow, ReceiptRow
from cascade.testing.memory.tables import Tables


_WAITING = frozenset({AttemptState.UNKNOWN, AttemptState.SENT})
_DOUBLINGS = 10  # looks after 1, 2, 4 … seconds; then hourly


class Hearing(Operations):
    """The inbox, and questions to providers."""

    def store_receipts(self, receipts: Sequence[NewReceipt]) -> int:
        now, stored = self.now(), 0
        for new in receipts:
            if new.dedupe_key not in self.tables.by_dedupe_key:
                one = len(self.tables.receipts) + 1
                self.tables.put(self.tables.by_dedupe_key, new.dedupe_key, one)
                asked = 0 if new.is_unconfirmed else None
                row = ReceiptRow(new=new, received_at=now, due_at=now, asked=asked)
                self.tables.put_receipt(one, row)
                stored += 1
        return stored

    def take_receipts(self, quota: int) -> list[int]:
        now = self.now()
        over = self.tables.due_receipts.until(now)
        due, stale = [], []
        for one in over:
            row = self.tables.unapplied.get(one)
            if row is None or row.due_at is None or row.due_at > now:
                stale.append(one)
            else:
                due.append((row.due_at, one))
        self.tables.due_receipts.drop(stale)
        return [one for _, one in sorted(due)[:quota]]

    def match_receipts(self, receipt_ids: Iterable[int]) -> list[Unapplied]:
        return [self._matched(one) for one in sorted(receipt_ids)]

    def _matched(self, one: int) -> Unapplied:
        row = self.tables.receipts[one]
        attempt = self._attempt_of(row)
        return Unapplied(
            id=one,
            status=row.new.status,
            code=row.new.native_code or row.new.native_status,
            received_at=row.received_at,
            attempt_id=None if attempt is None else attempt.id,
            message_id=None if attempt is None else str(attempt.message_id),
            is_unconfirmed=row.asked is not None
            and (attempt is None or attempt.delivered_at is None),
        )

    def _attempt_of(self, row: ReceiptRow) -> AttemptRow | None:
        """By our own reference; else the newest that the provider gave its reference to."""
        own = own_attempt(self.tables, row)
        if own is not None:
            return own
        since = row.received_at - MATCH_WINDOW
        theirs = [one for one, at in named_attempts(self.tables, row) if at > since]
        return theirs[-1] if theirs else None

    def mark_applied(self, attempts: Mapping[int, int]) -> None:
        for one, attempt_id in attempts.items():
            row = self.tables.receipts[one]
            applied = row._replace(attempt_id=attempt_id, applied_at=self.now(), due_at=None)
            self.tables.put_receipt(one, applied)

    def defer_receipts(self, receipt_ids: Iterable[int]) -> int:
        now, alarming = self.now(), 0
        for one in receipt_ids:
            row = self.tables.receipts[one]
            if row.due_at is None:
                continue
            pause = 2**row.looks if row.looks < _DOUBLINGS else 3600
            is_patient = row.received_at > now - DEFER_PATIENCE
            due_at = now + dt.timedelta(seconds=pause) if is_patient else None
            deferred = row._replace(looks=row.looks + 1, due_at=due_at)
            self.tables.put_receipt(one, deferred)
            alarming += due_at is None or deferred.looks == _DOUBLINGS
        return alarming

    def unanswered(
        self, accounts: Collection[str], *, quota: int, grace: dt.timedelta
    ) -> list[Unanswered]:
        now, found = self.now(), []
        for lane in Lane:
            for row in self.tables.due_of(lane, now + grace):
                is_over = row.state in _WAITING and row.expires_at <= now
                if is_over and row.account in accounts and not was_polled(row):
                    found.append((row.due_at or now, row.id))
        return [self._unanswered(self.tables.attempts[one]) for _, one in sorted(found)[:quota]]

    def unconfirmed(self, accounts: Collection[str], *, quota: int) -> list[Unanswered]:
        asked = [
            one
            for one, row in self.tables.unapplied.items()
            if row.asked is not None and row.asked < row.looks and row.new.account in accounts
        ]
        taken = sorted(asked)[:quota]
        for one in taken:
            row = self.tables.receipts[one]
            self.tables.put_receipt(one, row._replace(asked=row.looks))
        found = (one for one in self.match_receipts(taken) if one.is_unconfirmed)
        ids = sorted({one.attempt_id for one in found if one.attempt_id is not None})
        return [self._unanswered(self.tables.attempts[one]) for one in ids]

    def _unanswered(self, row: AttemptRow) -> Unanswered:
        return Unanswered(
            attempt_id=row.id,
            message_id=row.message_id,
            account=row.account,
            client_ref=row.client_ref,
            provider_ref=row.provider_ref,
            recipient=self.tables.messages[row.message_id].recipient,
        )

    def mark_polled(self, attempt_ids: Iterable[int]) -> None:
        for one in sorted(attempt_ids):
            row = self.tables.attempts[one]
            self.tables.put_attempt(row._replace(polled_at=self.now()))


def own_attempt(tables: Tables, row: ReceiptRow) -> AttemptRow | None:
    """The attempt that a receipt names by our reference."""
    own = tables.by_client_ref.get(row.new.client_ref or "")
    if own is None or tables.attempts[own].account != row.new.account:
        return None
    return tables.attempts[own]


def named_attempts(tables: Tables, row: ReceiptRow) -> Iterator[tuple[AttemptRow, dt.datetime]]:
    """The attempts that a receipt names by the provider's reference, with the time it was given;
    those that were called after the receipt are about another message.
    """
    until = row.received_at + CALL_TOLERANCE
    for ref in tables.refs.get((row.new.account, row.new.provider_ref or ""), ()):
        attempt = tables.attempts[ref.attempt_id]
        if attempt.started_at is not None and attempt.started_at <= until:
            yield attempt, ref.created_at


def was_polled(row: AttemptRow) -> bool:
    """Whether its provider has answered since its time was over."""
    return row.polled_at is not None and row.polled_at >= row.expires_at
