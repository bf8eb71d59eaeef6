"""The connection to PostgreSQL: bounded in every direction, and re-run where that is safe."""

from __future__ import annotations

import datetime as dt

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError as PoolTimeoutError
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)


T = TypeVar("T")

# Connection lost, server going down or coming up, serialization failure, deadlock, a transaction
# that was idle for too long: its process had been stopped.
_TRANSIENT = ("08", "57P01", "57P02", "57P03", "40001", "40P01", "25P03")

# Waiting for a lock, a statement; out of disk, memory or connections; read-only after a failover;
# the system underneath.
_PASSING = ("55P03", "57014", "53", "25006", "58")

# A process that is frozen in a transaction loses its locks before those give up who wait for them.
_LIMITS = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "4s",
    "timezone": "UTC",
    "search_path": "public",
}

# All shared time. A scalar subquery: a bare volatile call would keep an index from being used.
CLOCK = "(SELECT cascade.clock())"


def connect(url: str, *, pool_size: int = 2) -> Engine:
    """An engine whose connections neither hang nor hold locks for ever (times in seconds)."""
    return create_engine(
        url,
        pool_pre_ping=True,  # a restarted server is noticed before the first statement
        pool_recycle=300,
        pool_timeout=10,
        pool_size=pool_size,
        max_overflow=pool_size,
        hide_parameters=True,  # exception texts must not carry recipients or texts
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 30,
            "tcp_user_timeout": 10_000,
            "options": " ".join(f"-c {name}={value}" for name, value in _LIMITS.items()),
        },
    )


def error_code(error: DBAPIError) -> str | None:
    """PostgreSQL's code of what went wrong, from whichever driver; None if the server was mute."""
    code = getattr(error.orig, "pgcode", None) or getattr(error.orig, "sqlstate", None)
    return None if code is None else str(code)


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed when it is run again."""
    if not isinstance(error, DBAPIError):
        return False
    code = error_code(error)
    if code is None:  # libpq failed before the server could name a code
        return error.connection_invalidated or isinstance(error, OperationalError)
    return code.startswith(_TRANSIENT)


def is_passing(error: BaseException) -> bool:
    """Whether the database, not the rows, is to blame: trouble that a later run does not meet.

    Besides transient errors these are time-outs, exhausted resources and a read-only server.
    """
    code = str(getattr(getattr(error, "orig", None), "pgcode", ""))
    pool_is_exhausted = isinstance(error, PoolTimeoutError)
    return is_transient(error) or pool_is_exhausted or code.startswith(_PASSING)


def transaction(
    engine: Engine, work: Callable[[Connection], T], *, patience: float | None = None
) -> T:
    """Runs `work` in one transaction; again on transient errors: three times in all, or for
    `patience` seconds.

    `work` must be re-runnable: it has no effect beside its statements, and their guards make a
    second run after an unseen commit a no-op.
    """
    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_attempt(3) if patience is None else stop_after_delay(patience),
        wait=wait_random_exponential(multiplier=0.05, max=1),
        reraise=True,
    )
    result: T = retrying(_run, engine, work)
    return result


def _run(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def now(connection: Connection) -> dt.datetime:
    """The database's time, which every process shares."""
    moment = connection.execute(text(f"SELECT {CLOCK}")).scalar_one()
    assert isinstance(moment, dt.datetime)  # noqa: S101  # narrows the driver's Any
    return moment
