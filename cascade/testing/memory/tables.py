"""The tables, their indexes, and the journal that takes a failed transaction back."""

from __future__ import annotations

import datetime as dt
import heapq
import uuid

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from cascade.domain.cascade import Attempt
from cascade.domain.money import Rate, RateBook
from cascade.domain.policy import ChannelFacts, Policy
from cascade.domain.state import Channel, Lane
from cascade.storage.charges import Charge
from cascade.testing.clock import VirtualClock
from cascade.testing.memory.rows import (
    AttemptRow,
    KeyRow,
    MessageRow,
    ReceiptRow,
    RefRow,
    TickRow,
)


K = TypeVar("K")
V = TypeVar("V")

_LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

# A row as it was before the transaction: the table, the key, the row (None: there was none).
Before = tuple[dict[Any, Any], Any, Any]


class Due:
    """Ids by the time when they are due. What was put in stays until it is dropped."""

    def __init__(self) -> None:
        self._coming: list[tuple[dt.datetime, int]] = []
        self._over: set[int] = set()

    def add(self, moment: dt.datetime, one: int) -> None:
        heapq.heappush(self._coming, (moment, one))

    def until(self, moment: dt.datetime) -> set[int]:
        """Ids of all that were ever due by then; stale ones are the caller's to `drop`."""
        while self._coming and self._coming[0][0] <= moment:
            self._over.add(heapq.heappop(self._coming)[1])
        return self._over

    def drop(self, ids: Iterable[int]) -> None:
        self._over.difference_update(ids)

    @property
    def next(self) -> dt.datetime | None:
        """When an id is due, at the earliest; long ago, if some have been and were not dropped."""
        if self._over:
            return _LONG_AGO
        return self._coming[0][0] if self._coming else None


class Tables:
    """What is stored."""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        policies: Iterable[Policy],
        channels: Mapping[Channel, ChannelFacts],
        rates: Iterable[Rate],
    ) -> None:
        self.clock = clock
        self.policies = dict(enumerate(policies, 1))
        self.channels = dict(channels)
        self.rates = RateBook(replace(one, id=place) for place, one in enumerate(rates, 1))
        self.messages: dict[uuid.UUID, MessageRow] = {}
        self.attempts: dict[int, AttemptRow] = {}
        self.receipts: dict[int, ReceiptRow] = {}
        self.charges: dict[int, Charge] = {}
        self.keys: dict[tuple[str, str], KeyRow] = {}
        self.refs: dict[tuple[str, str], tuple[RefRow, ...]] = {}
        self.ticks: dict[str, TickRow] = {}
        # Indexes.
        self.by_client_ref: dict[str, int] = {}
        self.by_dedupe_key: dict[bytes, int] = {}
        self.unapplied: dict[int, ReceiptRow] = {}
        self.due_attempts: dict[Lane, Due] = defaultdict(Due)
        self.due_receipts = Due()
        self._seen: dict[int, tuple[AttemptRow, Attempt]] = {}
        self._journal: list[Before] = []

    def put(self, table: dict[K, V], key: K, row: V) -> None:
        """Writes a row; `undo` brings the one before back."""
        self._journal.append((table, key, table.get(key)))
        table[key] = row

    def remove(self, table: dict[K, V], key: K) -> None:
        """Deletes a row, if it is there."""
        if key in table:
            self._journal.append((table, key, table.pop(key)))

    def attempt(self, one: int) -> Attempt:
        """As the engine sees it: made once for each row."""
        row, seen = self.attempts[one], self._seen.get(one)
        if seen is None or seen[0] is not row:
            seen = self._seen[one] = (row, row.attempt())
        return seen[1]

    def put_attempt(self, row: AttemptRow) -> None:
        self.put(self.attempts, row.id, row)
        if row.due_at is not None:
            self.due_attempts[row.lane].add(row.due_at, row.id)

    def put_receipt(self, one: int, row: ReceiptRow) -> None:
        self.put(self.receipts, one, row)
        if row.due_at is None:
            self.remove(self.unapplied, one)
        else:
            self.put(self.unapplied, one, row)
            self.due_receipts.add(row.due_at, one)

    def due_of(self, lane: Lane, now: dt.datetime) -> list[AttemptRow]:
        """The attempts of a lane that are due, those that have been longest first."""
        index = self.due_attempts[lane]
        over = index.until(now)
        if not over:
            return []
        due, stale = [], []
        for one in over:
            row = self.attempts.get(one)
            moment = None if row is None else row.due_at
            if row is None or moment is None:
                stale.append(one)
            elif moment > now:  # it was put off, or somebody has looked ahead
                stale.append(one)
                index.add(moment, one)
            else:
                due.append((moment, one, row))
        index.drop(stale)
        return [row for _, _, row in sorted(due)]  # ids differ: rows are never compared

    def commit(self) -> list[Before]:
        """Forgets the journal; what it held."""
        journal, self._journal = self._journal, []
        return journal

    def undo(self) -> None:
        """Brings every row back as it was before the transaction."""
        for table, key, row in reversed(self.commit()):
            if row is None:
                table.pop(key, None)
            else:
                table[key] = row
            self._due_again(table, key, row)

    def _due_again(self, table: dict[Any, Any], key: Any, row: Any) -> None:
        """Its entry in the index may have been dropped as stale meanwhile."""
        if row is None:
            return
        if table is self.attempts and row.due_at is not None:
            self.due_attempts[row.lane].add(row.due_at, key)
        elif table is self.receipts and row.due_at is not None:
            self.due_receipts.add(row.due_at, key)
