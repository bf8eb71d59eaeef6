"""What commands work with, from the environment; given back when they are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from cascade.cli.unpublished import unpublished_told
from cascade.client import Cascade
from cascade.services.deployment import Ledger
from cascade.services.reseal import KeySettings
from cascade.settings import DatabaseSettings, load
from cascade.storage.database import connect


@contextmanager
def client() -> Iterator[Cascade]:
    """The client of the deployment; raises ConfigurationError."""
    cascade = Cascade.from_env()
    try:
        with unpublished_told():
            yield cascade
    finally:
        cascade.close()


@contextmanager
def database() -> Iterator[Engine]:
    """The database alone, for commands that need no keys; raises ConfigurationError."""
    engine = connect(load(DatabaseSettings).database_url.get_secret_value())
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def ledger() -> Iterator[Ledger]:
    """The database and the keys, without a broker: the tick publishes what becomes due.

    Raises ConfigurationError.
    """
    keyring = load(KeySettings).keyring()
    with database() as engine:
        yield Ledger(engine=engine, keyring=keyring, publish=lambda _hints: 0)
