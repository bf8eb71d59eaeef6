from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from cascade.domain.errors import TryAgainError
from cascade.storage import migrations
from cascade.storage.database import connect
from cascade.storage.migrate import upgrade
from tests.storage.waiting import wait_for_one_that_waits


pytestmark = pytest.mark.integration

HEAD = ScriptDirectory(migrations.__path__[0]).get_current_head()

LOCK_TIMEOUT = 0.3  # seconds of the migration
SERVICE_TIMEOUT = "2s"  # above that, as in production

BUILDING = "CREATE INDEX%charges_booked_idx%"

READ = "ACCESS SHARE"
WRITE = "ROW EXCLUSIVE"

Migrate = Callable[[], Future[None]]


@pytest.fixture
def services(bare_database_url: str) -> Iterator[Engine]:
    engine = connect(bare_database_url, pool_size=4)
    yield engine
    engine.dispose()


@pytest.fixture
def migrate(bare_engine: Engine) -> Iterator[Migrate]:
    """Starts a migration to the newest revision."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(upgrade, bare_engine, lock_timeout=LOCK_TIMEOUT, patience=20)


def use(connection: Connection, table: str, mode: str = READ) -> None:
    """What a service's statement locks, to the end of its transaction."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{SERVICE_TIMEOUT}'"))
    connection.execute(text(f"LOCK TABLE cascade.{table} IN {mode} MODE"))


def revision(engine: Engine) -> str:
    with engine.begin() as connection:
        found = connection.execute(text("SELECT version_num FROM cascade.alembic_version"))
        return str(found.scalar_one())


def invalid_indexes(engine: Engine) -> list[str]:
    statement = text(
        "SELECT CAST(CAST(indexrelid AS regclass) AS text) FROM pg_index WHERE NOT indisvalid"
    )
    with engine.begin() as connection:
        return list(connection.execute(statement).scalars())


@pytest.mark.parametrize("table", ["messages", "charges", "policies"])
def test_a_dump_holds_up_the_migration_and_the_migration_nobody(
    bare_engine: Engine, services: Engine, migrate: Migrate, table: str
):
    upgrade(bare_engine, "0001")
    with services.begin() as dump:
        use(dump, table)
        migration = migrate()
        wait_for_one_that_waits(services, "%ALTER TABLE%")
        with services.begin() as service:
            use(service, table, WRITE)
        assert not migration.done()
    migration.result()

    assert revision(bare_engine) == HEAD


@pytest.mark.parametrize(("first", "then"), [("messages", "policies"), ("policies", "messages")])
def test_services_that_lock_in_either_order_do_not_meet_the_migration_in_a_deadlock(
    bare_engine: Engine, services: Engine, migrate: Migrate, first: str, then: str
):
    upgrade(bare_engine, "0001")
    with services.begin() as service:
        use(service, first, WRITE)
        migration = migrate()
        wait_for_one_that_waits(services, f"%ALTER TABLE cascade.{first}%")
        use(service, then, WRITE)
    migration.result()

    assert revision(bare_engine) == HEAD


def test_services_write_on_while_an_index_waits_for_a_transaction_however_old(
    bare_engine: Engine, services: Engine, migrate: Migrate
):
    upgrade(bare_engine, "0002")
    with services.begin() as old:
        use(old, "charges", WRITE)
        migration = migrate()
        begun_at = wait_for_one_that_waits(services, BUILDING)
        for table in ("messages", "charges", "policies"):
            with services.begin() as service:
                use(service, table, WRITE)
        # The server's limits know no other clock than its own.
        old.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": 2 * LOCK_TIMEOUT})
        assert wait_for_one_that_waits(services, BUILDING) == begun_at
        assert invalid_indexes(services) == ["cascade.charges_booked_idx"]
    migration.result()

    assert (revision(bare_engine), invalid_indexes(bare_engine)) == (HEAD, [])


def test_revisions_are_committed_one_by_one(
    bare_engine: Engine, services: Engine, migrate: Migrate
):
    upgrade(bare_engine, "0001")
    with services.begin() as other:
        use(other, "receipts", WRITE)  # of which only the last one needs more than that
        migration = migrate()
        wait_for_one_that_waits(services, "CREATE INDEX%receipts_set_aside_idx%")
        assert revision(services) == "0002"
    migration.result()


def test_when_its_patience_ends_it_says_what_to_do_and_the_next_call_goes_on(
    bare_engine: Engine, services: Engine
):
    upgrade(bare_engine, "0001")
    with services.begin() as dump:
        use(dump, "policies")
        with pytest.raises(TryAgainError, match="cascade doctor --only transactions"):
            upgrade(bare_engine, lock_timeout=0.1, patience=0.15)
        assert revision(services) == "0001"

    upgrade(bare_engine)
    assert revision(bare_engine) == HEAD


def test_an_index_that_an_interrupted_build_left_is_built_again(
    bare_engine: Engine, services: Engine
):
    upgrade(bare_engine, "0002")
    building = services.execution_options(isolation_level="AUTOCOMMIT")
    with services.begin() as old, building.connect() as connection:
        use(old, "messages", WRITE)
        connection.execute(text("SET lock_timeout = '50ms'"))
        with pytest.raises(OperationalError):
            connection.execute(
                text(
                    "CREATE INDEX CONCURRENTLY messages_created_idx"
                    " ON cascade.messages (created_at)"
                )
            )
    assert invalid_indexes(services) == ["cascade.messages_created_idx"]

    upgrade(bare_engine)
    assert invalid_indexes(bare_engine) == []


def test_a_migration_whose_connection_is_lost_can_be_run_again(
    bare_engine: Engine, services: Engine, migrate: Migrate
):
    upgrade(bare_engine, "0002")
    with services.begin() as old:
        use(old, "charges", WRITE)
        migration = migrate()
        wait_for_one_that_waits(services, BUILDING)
        old.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query LIKE 'CREATE INDEX%' AND datname = current_database()"
            )
        )
        with pytest.raises(TryAgainError, match="the connection was lost"):
            migration.result()

    upgrade(bare_engine)
    assert (revision(bare_engine), invalid_indexes(bare_engine)) == (HEAD, [])


def test_who_finds_another_migrating_waits_and_then_says_so(
    bare_engine: Engine, services: Engine, migrate: Migrate
):
    upgrade(bare_engine, "0001")
    with services.begin() as dump:
        use(dump, "messages")
        migration = migrate()
        wait_for_one_that_waits(services, "%ALTER TABLE%")
        with pytest.raises(TryAgainError, match="another process migrates it"):
            upgrade(services, turn=0.1)
    migration.result()

    upgrade(services, turn=0.1)


def test_the_migrations_limits_stay_with_its_own_connection(bare_engine: Engine):
    upgrade(bare_engine)

    with bare_engine.begin() as one, bare_engine.begin() as other:
        for connection in (one, other):
            assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "5s"
            assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "15s"
