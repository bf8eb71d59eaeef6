"""What the operations in memory share."""

from __future__ import annotations

import datetime as dt

from cascade.testing.memory.tables import Tables


class Operations:
    """A transaction in memory: it has the tables to itself until it is over."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def now(self) -> dt.datetime:
        return self.tables.clock.now
