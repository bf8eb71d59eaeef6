"""How far a run has come, read from the database past every proxy."""

from __future__ import annotations

import contextlib

from dataclasses import dataclass

import psycopg2


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Counts of rows; `lag` is by how many seconds the oldest due row is late."""

    messages: int
    final: int
    live: int
    receipts: int
    lag: float

    @property
    def is_busy(self) -> bool:
        """Whether something is still to be done."""
        return self.final < self.messages or self.live > 0 or self.receipts > 0


# A receipt without an attempt waits for days; one that was never looked at is work.
_LOOK = """
    SELECT (SELECT count(*) FROM cascade.messages),
        (SELECT count(*) FROM cascade.messages WHERE state <> 'in_progress'),
        (SELECT count(*) FROM cascade.attempts WHERE due_at IS NOT NULL),
        (SELECT count(*) FROM cascade.receipts WHERE due_at IS NOT NULL AND looks < 3),
        (SELECT coalesce(extract(epoch FROM max(cascade.clock() - due_at)), 0) FROM (
            SELECT due_at FROM cascade.attempts
            UNION ALL SELECT due_at FROM cascade.receipts WHERE looks = 0) AS due)
"""


def look(dsn: str) -> Look:
    """Raises psycopg2.Error while the database is away."""
    connected = contextlib.closing(psycopg2.connect(dsn, connect_timeout=3))
    with connected as connection, connection.cursor() as cursor:
        cursor.execute(_LOOK)
        row = cursor.fetchone()
    assert row is not None  # noqa: S101  # a SELECT of aggregates has one row
    messages, final, live, receipts, lag = row
    return Look(
        messages=messages,
        final=final,
        live=live,
        receipts=receipts,
        lag=max(0.0, float(lag)),
    )
