"""The servers of one run: embedded ones, or those that are given."""

from __future__ import annotations

import secrets

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, make_url, text

from cascade import embedded
from cascade.storage.database import connect


@contextmanager
def database(directory: Path, given: str | None) -> Iterator[str]:
    """The URL of an empty database: on the server of the URL `given`, where it is dropped at the
    end, or on an embedded server. Raises EmbeddedError, or SQLAlchemy's OperationalError.
    """
    if given is None:
        with embedded.postgres(directory) as url:
            yield url
        return
    name = f"cascade_run_{secrets.token_hex(6)}"
    address = make_url(given).set(drivername="postgresql+psycopg2")
    server = connect(address.render_as_string(hide_password=False))
    _administer(server, f"CREATE DATABASE {name}")
    try:
        yield address.set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(server, f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()


@contextmanager
def broker(directory: Path, given: str | None) -> Iterator[str]:
    """The URL `given`, used as it is, or that of an embedded broker. Raises EmbeddedError."""
    if given is not None:
        yield given
        return
    with embedded.valkey(directory) as url:
        yield url


def _administer(server: Engine, statement: str) -> None:
    """Runs what PostgreSQL takes outside transactions only."""
    with server.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(statement))
