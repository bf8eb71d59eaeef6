"""Cascade inside Django's transactions: the message commits, or rolls back, with the order.

    with transaction.atomic():
        order.save()
        cascade.send(to=order.phone, text="…", session=atomic_session())

For Django on psycopg2 or psycopg 3 whose database holds Cascade's schema.
"""

from __future__ import annotations

import functools

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.orm import Session
from typing_extensions import override

from cascade.domain.errors import ConfigurationError


def atomic_session(using: str = DEFAULT_DB_ALIAS) -> Session:
    """A session in the current `atomic` block of Django, for `Cascade.send(session=…)`.

    Django alone ends the transaction, and after its commit the message goes out at once. Take a
    new session for each block. Raises ConfigurationError outside of one.
    """
    if not connections[using].in_atomic_block:
        raise ConfigurationError(
            "session", "Django has no transaction open", "call it in transaction.atomic()"
        )
    session = Session(_engine(using))
    transaction.on_commit(session.commit, using=using)  # of which only the hints are left to do
    return session


@functools.cache
def _engine(using: str) -> Engine:
    return create_engine(
        f"postgresql+cascade_django_{'psycopg' if is_psycopg3 else 'psycopg2'}://",
        creator=lambda: connections[using].connection,  # of this thread
        poolclass=NullPool,  # nothing is kept: Django may close it at any time
        use_native_hstore=False,  # it would be registered on the connection
        hide_parameters=True,  # exception texts must not carry recipients or texts
    )


class _Guest:
    """What a dialect leaves alone on a connection that is Django's: its settings and its end."""

    def on_connect(self) -> None:
        return None

    def do_commit(self, dbapi_connection: object) -> None:
        pass

    def do_rollback(self, dbapi_connection: object) -> None:
        pass

    def do_close(self, dbapi_connection: object) -> None:
        pass


# Django changes what its connections return: jsonb as text, and times by its own settings. A
# cursor of ours returns what the driver does by itself.


class GuestOfPsycopg2(_Guest, PGDialect_psycopg2):
    """On psycopg2."""

    supports_statement_cache = True

    @override
    def do_execute(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        self._psycopg2_extras.register_default_jsonb(cursor)
        cursor.execute(statement, parameters)


class GuestOfPsycopg3(_Guest, PGDialect_psycopg):
    """On psycopg 3."""

    supports_statement_cache = True

    @override
    def do_execute(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        psycopg: Any = self.dbapi
        cursor.adapters.register_loader("jsonb", psycopg.types.json.JsonbLoader)
        cursor.adapters.register_loader("timestamptz", psycopg.types.datetime.TimestamptzLoader)
        cursor.execute(statement, parameters)


registry.register("postgresql.cascade_django_psycopg2", __name__, "GuestOfPsycopg2")
registry.register("postgresql.cascade_django_psycopg", __name__, "GuestOfPsycopg3")
