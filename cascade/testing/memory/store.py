"""The store itself: one transaction after the other, each whole or not at all."""

from __future__ import annotations

import datetime as dt

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from cascade.domain.money import Rate
from cascade.domain.policy import ChannelFacts, Policy
from cascade.domain.state import Channel
from cascade.storage.charges import Charge
from cascade.storage.store import T, Transaction
from cascade.testing.clock import VirtualClock
from cascade.testing.memory.advancing import Advancing
from cascade.testing.memory.calling import Calling
from cascade.testing.memory.hearing import Hearing
from cascade.testing.memory.rows import AttemptRow, MessageRow, TickRow
from cascade.testing.memory.sweeping import Sweeping
from cascade.testing.memory.tables import Before, Tables


Row = AttemptRow | MessageRow | Charge


class Change(NamedTuple):
    """A row that a transaction has written; `old` is None for a new one."""

    old: Row | None
    new: Row


class MemoryTransaction(Advancing, Calling, Hearing, Sweeping):
    """`Transaction` in memory."""


class MemoryStore:
    """`Store` in memory, on a clock that its owner moves. Not for use from several threads."""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        policies: Iterable[Policy] = (),
        channels: Mapping[Channel, ChannelFacts] | None = None,
        rates: Iterable[Rate] = (),
        watch: Callable[[list[Change]], None] | None = None,
    ) -> None:
        """`watch` is told of each transaction that wrote messages, attempts or charges."""
        self.tables = Tables(clock, policies=policies, channels=channels or {}, rates=rates)
        self._transaction = MemoryTransaction(self.tables)  # they come one after the other
        self._watch = watch

    def transaction(
        self,
        work: Callable[[Transaction], T],
        *,
        patience: float | None = None,  # noqa: ARG002  # nothing here passes by waiting
    ) -> T:
        """Runs `work`; what it raises takes back all that it wrote."""
        try:
            result = work(self._transaction)
        except BaseException:
            self.tables.undo()
            raise
        journal = self.tables.commit()
        if journal and self._watch is not None:
            self._watch(self._changes(journal))
        return result

    def due_at(self) -> dt.datetime | None:
        """When the next receipt or attempt may be due; None if nothing waits."""
        tables = self.tables
        moments = [index.next for index in [*tables.due_attempts.values(), tables.due_receipts]]
        return min((moment for moment in moments if moment is not None), default=None)

    def ticked_until(self, moment: dt.datetime) -> None:
        """Notes the ticks up to `moment` that would have found nothing due."""
        row = self.tables.ticks.get("tick")
        if row is not None and row.ticked_at < moment:
            self.tables.ticks["tick"] = TickRow(ticked_at=moment, resumed_at=row.resumed_at)

    def _changes(self, journal: list[Before]) -> list[Change]:
        tables = self.tables
        changes = []
        watched: tuple[dict[Any, Any], ...] = (tables.messages, tables.attempts, tables.charges)
        for table in watched:
            first: dict[object, Row | None] = {}
            for where, key, old in journal:
                if where is table:
                    first.setdefault(key, old)
            changes += [Change(old, table[key]) for key, old in first.items()]
        return changes
