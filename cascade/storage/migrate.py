"""Bringing the schema up, or down again, while services go on."""

from __future__ import annotations

import operator

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from cascade.domain.errors import TryAgainError
from cascade.storage.database import error_code
from cascade.storage.tables import SCHEMA


# Seconds in the queue for a table: all who come later wait behind, and services do so for 5.
LOCK_TIMEOUT = 3.0
PATIENCE = 60.0  # seconds for a table that others keep, with pauses in which those go on
TURN = 600.0  # seconds for another process that migrates

_ONE_AT_A_TIME = 0x_CA5C_ADE  # an advisory lock: two starting processes migrate once
_PAUSE = 0.1  # seconds between looks whether it is free

_GOES_ON = "migrate again: it goes on where it stopped"

_LOCKED = ("55P03", "40P01")  # a lock is not to be had; a deadlock


def upgrade(
    engine: Engine,
    revision: str = "head",
    *,
    lock_timeout: float = LOCK_TIMEOUT,
    patience: float = PATIENCE,
    turn: float = TURN,
) -> None:
    """Brings the schema to `revision`, creating it if need be; safe to call from many at once.

    Each revision is committed by itself. A change of a table waits `lock_timeout` seconds for it,
    then lets others through for as long, for `patience` seconds in all; another process that
    migrates is waited for `turn` seconds. Raises TryAgainError; the next call goes on where this
    one stopped.
    """

    def work(connection: Connection) -> None:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        connection.commit()
        command.upgrade(configuration(connection), revision)

    with _alone(engine, lock_timeout, turn) as connection:
        _again_while_locked(connection, work, pause=lock_timeout, patience=patience)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Takes the schema back to `revision`; `base` leaves nothing but the version table.

    Raises TryAgainError, as `upgrade` does.
    """
    with _alone(engine, LOCK_TIMEOUT, TURN) as connection:
        _again_while_locked(
            connection,
            lambda c: command.downgrade(configuration(c), revision),
            pause=LOCK_TIMEOUT,
            patience=PATIENCE,
        )


def configuration(connection: Connection) -> Config:
    """Alembic's configuration, working on `connection`; for migrations, outside a transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _alone(engine: Engine, lock_timeout: float, turn: float) -> Iterator[Connection]:
    """A connection that migrates while no other does; with it end its lock and its time-outs."""
    with engine.connect() as connection:
        try:
            _set_timeouts(connection, lock_timeout)
            _wait_for_turn(connection, turn)
            yield connection
        finally:
            connection.invalidate()


def _set_timeouts(connection: Connection, lock_timeout: float) -> None:
    """A migration may take longer than everyday statements, but not hold up those for long."""
    timeouts = {
        "lock_timeout": f"{lock_timeout * 1000:.0f}ms",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
    }
    for name, value in timeouts.items():
        connection.execute(
            text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value}
        )
    connection.commit()


def _wait_for_turn(connection: Connection, turn: float) -> None:
    """Waits between statements: one that waited would be a transaction that an index waits for."""
    retrying = Retrying(
        retry=retry_if_result(operator.not_), stop=stop_after_delay(turn), wait=wait_fixed(_PAUSE)
    )
    try:
        retrying(_take_turn, connection)
    except RetryError:
        raise TryAgainError(
            "database", "another process migrates it", "migrate again when that has ended"
        ) from None


def _take_turn(connection: Connection) -> bool:
    taken = text("SELECT pg_try_advisory_lock(:key)")
    is_ours = connection.execute(taken, {"key": _ONE_AT_A_TIME}).scalar_one()
    connection.commit()
    return bool(is_ours)


def _again_while_locked(
    connection: Connection,
    work: Callable[[Connection], None],
    *,
    pause: float,
    patience: float,
) -> None:
    retrying = Retrying(
        retry=retry_if_exception(_is_locked),
        stop=stop_after_delay(patience),
        wait=wait_fixed(pause),
        reraise=True,
    )
    try:
        retrying(_once, connection, work)
    except DBAPIError as error:
        if not _is_locked(error):
            raise
        raise TryAgainError(
            "database",
            f"other transactions kept a table for {patience:g} s",
            "wait for them or end them (`cascade doctor --only transactions` names the oldest),"
            f" then {_GOES_ON}",
        ) from error


def _once(connection: Connection, work: Callable[[Connection], None]) -> None:
    try:
        work(connection)
    except SQLAlchemyError as error:
        if not connection.invalidated:
            raise
        # Alembic's tidying up may have raised in the place of what has happened.
        raise TryAgainError("database", "the connection was lost", _GOES_ON) from error
    finally:
        connection.rollback()  # Alembic begins a transaction for its looks, and leaves it open


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and error_code(error) in _LOCKED
