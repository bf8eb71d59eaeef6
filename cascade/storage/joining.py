"""What must hold of a caller's own transaction, and what is borrowed from it for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text


LOCK_TIMEOUT = "5s"

_LOOK = text(
    "SELECT current_setting('transaction_isolation'), to_regclass('cascade.messages') IS NOT NULL"
)


def problem_of(connection: Connection) -> tuple[str, str] | None:
    """Why no message can be part of its transaction, and the cure; None if one can."""
    if connection.dialect.name != "postgresql":
        return "its database is no PostgreSQL", "give one on CASCADE_DATABASE_URL"
    if getattr(connection.connection.dbapi_connection, "autocommit", False):
        return "it commits by itself after each statement", "leave out AUTOCOMMIT"
    level, is_there = connection.execute(_LOOK).one()
    if not is_there:
        return "its database has no schema cascade", "give one on CASCADE_DATABASE_URL"
    if level != "read committed":
        return (
            "its transaction is not READ COMMITTED, so it may not see who holds a key",
            "use that isolation level",
        )
    return None


@contextmanager
def waiting_for_locks(connection: Connection) -> Iterator[None]:
    """Within, a statement waits for a lock 5 s at most; afterwards as long as the caller has set.

    A rollback to the savepoint around it restores the caller's setting as well.
    """
    before = connection.execute(text("SELECT current_setting('lock_timeout')")).scalar_one()
    _set_lock_timeout(connection, LOCK_TIMEOUT)
    yield
    _set_lock_timeout(connection, before)


def _set_lock_timeout(connection: Connection, value: str) -> None:
    connection.execute(text("SELECT set_config('lock_timeout', :value, true)"), {"value": value})
