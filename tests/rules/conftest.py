from __future__ import annotations

from collections.abc import Iterator

import pytest

from sqlalchemy import Engine, text

from cascade.channels.base import Pending
from cascade.channels.threaded import ThreadedTransport
from cascade.domain.state import Channel
from cascade.services.deployment import Deployment
from cascade.storage.database import connect
from tests.rules.interleaving import Interleaving
from tests.rules.on_postgresql import OnPostgreSQL
from tests.rules.world import ASKABLE
from tests.services.courier import AskableCourier, a_desk
from tests.services.journey import Journey


@pytest.fixture
def standing_clock(engine: Engine) -> Iterator[None]:
    """The database's time moves when it is moved: examples do not depend on this machine's speed."""
    with engine.begin() as connection:
        running = connection.execute(
            text("SELECT pg_get_functiondef('cascade.clock()'::regprocedure)")
        ).scalar_one()
        now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        standing = running.replace("clock_timestamp()", f"TIMESTAMPTZ '{now.isoformat()}'")
        connection.exec_driver_sql(standing)
    yield
    with engine.begin() as connection:
        connection.exec_driver_sql(running)


@pytest.fixture
def for_real(standing_clock: None, journey: Journey) -> Iterator[OnPostgreSQL]:
    """PostgreSQL, the real services, and one provider that can be polled."""
    poll_transport = ThreadedTransport[Pending](flight=4, deadline=1)
    with a_desk() as desk:
        asking = Deployment(
            ledger=journey.ledger,
            adapters={ASKABLE: AskableCourier(url=desk.url, account=ASKABLE, channel=Channel.SMS)},
            transport=ThreadedTransport(flight=1),
            poll_transport=poll_transport,
        )
        yield OnPostgreSQL(journey, asking, desk)
        poll_transport.close()


@pytest.fixture
def interleaving(engine: Engine, database_url: str) -> Iterator[Interleaving]:
    """Races between two processes, statement by statement."""
    observer = connect(database_url)
    races = Interleaving(engine, observer)
    yield races
    races.close()
    observer.dispose()
