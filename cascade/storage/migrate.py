"""Bringing the schema up, or down again."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from cascade.storage.tables import SCHEMA


_ONE_AT_A_TIME = 0x_CA5C_ADE  # an advisory lock: two starting processes migrate once


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Brings the schema to `revision`, creating it if need be; safe to call from many at once."""
    with engine.begin() as connection:
        _wait_patiently(connection)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        command.upgrade(configuration(connection), revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Takes the schema back to `revision`; `base` leaves nothing but the version table."""
    with engine.begin() as connection:
        _wait_patiently(connection)
        command.downgrade(configuration(connection), revision)


def configuration(connection: Connection) -> Config:
    """Alembic's configuration, working on `connection` and its transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _wait_patiently(connection: Connection) -> None:
    """A migration may take longer than the time-outs of everyday statements."""
    for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(text(f"SET LOCAL {setting} = 0"))
