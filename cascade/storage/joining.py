"""What must hold of a caller's own transaction, and what is borrowed from it for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text


LOCK_TIMEOUT = "5s"


def is_ours(connection: Connection) -> bool:
    """Whether the connection reaches a database with Cascade's schema."""
    statement = text("SELECT to_regclass('cascade.messages') IS NOT NULL")
    return bool(connection.execute(statement).scalar_one())


def is_read_committed(connection: Connection) -> bool:
    """Whether a statement sees what others have committed before it."""
    level = connection.execute(text("SELECT current_setting('transaction_isolation')"))
    return str(level.scalar_one()) == "read committed"


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
