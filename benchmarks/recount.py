"""The books at the end of a run: what does not add up makes the run void."""

from __future__ import annotations

import time

from dataclasses import dataclass
from decimal import Decimal
from threading import Event

from sqlalchemy import Connection, Engine, text

from benchmarks.books import require
from benchmarks.sample import VoidError


_TABLES = "messages, attempts, receipts, charges, provider_refs, idempotency_keys, events"

_CHARGED = text("SELECT count(*) FROM cascade.charges")

_COUNTS = text("""
    SELECT
        (SELECT count(*) FROM cascade.messages WHERE state = 'delivered') AS delivered,
        (SELECT count(*) FROM cascade.messages) AS messages,
        (SELECT count(*) FROM cascade.attempts) AS attempts,
        (SELECT count(*) FROM cascade.attempts WHERE state = 'unsupported') AS unsupported,
        (SELECT count(*) FROM cascade.attempts WHERE state IN ('delivered', 'read')) AS reached,
        (SELECT count(*) FROM cascade.receipts WHERE applied_at IS NOT NULL) AS applied,
        (SELECT count(*) FROM cascade.receipts WHERE due_at IS NOT NULL) AS unapplied,
        (SELECT count(*) FROM cascade.receipts) AS receipts,
        (SELECT count(*) FROM cascade.charges) AS charges,
        (SELECT count(*) FROM cascade.charges WHERE amount IS NULL) AS unrated,
        (SELECT coalesce(sum(amount), 0) FROM cascade.charges) AS amount
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What there must be."""

    messages: int
    unsupported: int
    amount: Decimal | None = None  # None: whatever it is


def empty(engine: Engine) -> None:
    """Forgets all messages, as if the database were new."""
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {_qualified()} CASCADE"))
    tidy(engine)


def tidy(engine: Engine) -> None:
    """As autovacuum leaves a database that is at rest."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))


def charged(engine: Engine) -> int:
    """How many attempts are charged."""
    with engine.begin() as connection:
        return int(connection.execute(_CHARGED).scalar_one())


def attempts(engine: Engine) -> int:
    """How many attempts there are."""
    return _count(engine, "attempts")


def receipts(engine: Engine) -> int:
    """How many receipts there are."""
    return _count(engine, "receipts")


def _count(engine: Engine, table: str) -> int:
    with engine.begin() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM cascade.{table}")).scalar_one())  # noqa: S608  # ours


def await_books(engine: Engine, books: Books, *, patience: float = 10.0) -> None:
    """As `check`, which may need a moment: what is told last is applied last."""
    until = time.monotonic() + patience
    while True:
        try:
            return check(engine, books)
        except VoidError:
            if time.monotonic() > until:
                raise
            Event().wait(0.05)


def check(engine: Engine, books: Books) -> None:
    """Raises VoidError if a message, an attempt, a receipt or a charge is missing or too many."""
    with engine.begin() as connection:
        found = _found(connection)
    expected: dict[str, object] = {
        "messages": books.messages,
        "delivered": books.messages,
        "attempts": books.messages + books.unsupported,
        "unsupported": books.unsupported,
        "reached": books.messages,
        "applied": books.messages,
        "unapplied": 0,
        "receipts": books.messages,
        "charges": books.messages,
        "unrated": 0,
    }
    amount = {} if books.amount is None else {"amount": books.amount}
    require(found, **expected, **amount)


def _found(connection: Connection) -> dict[str, int]:
    return dict(connection.execute(_COUNTS).one()._mapping)  # noqa: SLF001  # SQLAlchemy's own way


def _qualified() -> str:
    return ", ".join(f"cascade.{name}" for name in _TABLES.split(", "))
