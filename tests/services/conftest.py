from __future__ import annotations

import time

from collections.abc import Callable, Iterator

import pytest

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from cascade.channels.base import Adapter, Item, Pending
from cascade.channels.limits import Limits
from cascade.channels.threaded import ThreadedTransport
from cascade.channels.transport import Transport
from cascade.services.deployment import Deployment, Ledger
from cascade.storage.database import connect
from tests.services.courier import Desk, a_desk


@pytest.fixture
def cut_connection(engine: Engine, database_url: str) -> Iterator[Callable[[str], list[str]]]:
    """Cuts the connection that is the first to execute a statement with these words.

    The list that is returned holds the statement once that has happened.
    """
    killer = connect(database_url)
    wanted: list[str] = []
    cut: list[str] = []

    def arm(words: str) -> list[str]:
        wanted.append(words)
        return cut

    def before(connection, _cursor, statement, *_rest):
        if wanted and not cut and wanted[0] in statement:
            cut.append(statement)
            pid = connection.connection.dbapi_connection.info.backend_pid
            with killer.begin() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    event.listen(engine, "before_cursor_execute", before)
    yield arm
    event.remove(engine, "before_cursor_execute", before)
    killer.dispose()


@pytest.fixture
def desk() -> Iterator[Desk]:
    with a_desk() as found:
        yield found


@pytest.fixture
def impatient(database_url: str) -> Iterator[Engine]:
    """Connections that wait a tenth of a second for a lock, and no longer."""
    engine = connect(database_url)

    @event.listens_for(engine, "connect")
    def hurry(dbapi, _record):
        with dbapi.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        dbapi.commit()

    yield engine
    engine.dispose()


Deployed = Callable[..., Deployment]


@pytest.fixture
def deployed(ledger: Ledger) -> Iterator[Deployed]:
    """Deployments of these adapters, on real transports that are closed in the end."""
    transports: list[Transport[Item] | Transport[Pending]] = []

    def make(
        *adapters: Adapter,
        ledger: Ledger = ledger,
        flight: int = 4,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
    ) -> Deployment:
        transport = ThreadedTransport[Item](flight=flight, deadline=3, clock=clock)
        poll_transport = ThreadedTransport[Pending](flight=flight, deadline=1)
        transports.extend((transport, poll_transport))
        return Deployment(
            ledger=ledger,
            adapters={one.account: one for one in adapters},
            transport=transport,
            poll_transport=poll_transport,
            limits=limits,
        )

    yield make
    for one in transports:
        one.close()


@pytest.fixture
def deadlocks(engine: Engine) -> Iterator[list[str]]:
    """Those that the database has found, also where the transaction was run again."""
    found: list[str] = []

    def note(context):
        if getattr(context.original_exception, "pgcode", None) == "40P01":
            found.append(str(context.statement))

    event.listen(engine, "handle_error", note)
    yield found
    event.remove(engine, "handle_error", note)


@pytest.fixture
def unseen_commit(engine: Engine) -> Iterator[Callable[[], list[str]]]:
    """Loses the server's answer to the next COMMIT of something written: it has happened, and nobody knows.

    The list that is returned holds a word once that is so.
    """
    armed: list[bool] = []
    lost: list[str] = []

    def arm() -> list[str]:
        armed.append(True)
        return lost

    def commit(connection):
        if not armed or lost or not _has_written(connection):
            return
        connection.connection.dbapi_connection.commit()
        lost.append("commit")
        raise OperationalError("COMMIT", {}, connection.dialect.dbapi.OperationalError("lost"))

    event.listen(engine, "commit", commit)
    yield arm
    event.remove(engine, "commit", commit)


def _has_written(connection: Connection) -> bool:
    cursor = connection.connection.cursor()
    cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
    return bool(cursor.fetchall()[0][0])
