"""Real servers for tests: embedded ones, or those of CASCADE_DATABASE_URL and CASCADE_BROKER_URL.

CASCADE_TEST_BROKER=rabbitmq takes a RabbitMQ of the tests' own instead of the embedded Valkey.
"""

from __future__ import annotations

import os
import secrets
import tempfile

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hypothesis import settings
from sqlalchemy import Connection, Engine, make_url, text
from xdist.remote import Producer  # type: ignore[import-untyped]  # it has no types
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # nor has it

from cascade import embedded
from cascade.dispatch import is_amqp
from cascade.domain.hint import Hint
from cascade.services.deployment import Ledger
from cascade.services.sync import sync
from cascade.storage.database import connect
from cascade.storage.migrate import upgrade
from cascade.storage.sealing import Keyring
from demo import rabbitmq
from demo.rabbitmq import RabbitMQ
from tests.services.journey import Journey


# No test asserts a time.
settings.register_profile("untimed", deadline=None)
if settings.get_current_profile_name() == "default":
    settings.load_profile("untimed")

CONFIG = Path(__file__).parent.parent / "config"

# Each before those that it refers to.
TABLES = (
    "corrections, reconciliations, events, charges, receipts, provider_refs, attempts, messages,"
    " idempotency_keys, policies, rates, channels, endpoints"
)
GUARDED = ("policies", "rates", "corrections")  # by triggers that refuse every change
SMALL = 1_000_000  # bytes

# These folders are one piece of work each: their tests share a running service.
SHARING = frozenset({"tests/acceptance", "tests/examples"})
# And so are these files, which share a RabbitMQ.
ON_RABBITMQ = frozenset({"tests/services/test_call.py", "tests/workers/test_queues.py"})


class ByService(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """Gives the processes of a parallel run whole files, and what shares a service to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file in ON_RABBITMQ:
            return "RabbitMQ"
        folder = file.rpartition("/")[0]
        return folder if folder in SHARING else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByService:
    """Files keep their order, as the acceptance tests, which take longest, are first."""
    config.option.loadscopereorder = False
    return ByService(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: a broker that is given is one, and tests empty it."""
    return 0 if os.environ.get("CASCADE_BROKER_URL") else 2


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """Where servers keep their files.

    Not under pytest's own directory: every run of pytest closes that to other users again, and
    root's PostgreSQL, which runs as another user, would lose its files in mid-flight.
    """
    with tempfile.TemporaryDirectory(prefix="cascade-tests-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def postgres_url(server_home: Path) -> Iterator[str]:
    """A server on which tests may create databases."""
    given = os.environ.get("CASCADE_DATABASE_URL")
    if given:
        yield given
        return
    with embedded.postgres(server_home / "postgres", durable=False) as url:
        yield url


@pytest.fixture(scope="session")
def rabbit(server_home: Path) -> Iterator[RabbitMQ]:
    """A RabbitMQ, where one can be started."""
    reason = rabbitmq.missing()
    if reason:
        pytest.skip(f"RabbitMQ: {reason}")
    with rabbitmq.rabbitmq(server_home / "rabbitmq") as node:
        yield node


@pytest.fixture(scope="session")
def broker_url(request: pytest.FixtureRequest, server_home: Path) -> Iterator[str]:
    """A broker that tests may fill and flush."""
    given = os.environ.get("CASCADE_BROKER_URL")
    if given:
        yield given
        return
    if os.environ.get("CASCADE_TEST_BROKER") == "rabbitmq":
        yield request.getfixturevalue("rabbit").url("tests")
        return
    with embedded.valkey(server_home / "valkey", durable=False) as url:
        yield url


@pytest.fixture(scope="session")
def limits_url(broker_url: str, server_home: Path) -> Iterator[str]:
    """A Redis or Valkey that tests may fill and flush: the broker, if it is one."""
    if not is_amqp(broker_url):
        yield broker_url
        return
    with embedded.valkey(server_home / "limits", durable=False) as url:
        yield url


@pytest.fixture(scope="session")
def broker_files(request: pytest.FixtureRequest, broker_url: str) -> Path | None:
    """Where the broker keeps what it was told; None if it keeps nothing, or elsewhere."""
    own = is_amqp(broker_url) and not os.environ.get("CASCADE_BROKER_URL")
    return request.getfixturevalue("rabbit").home if own else None


@pytest.fixture(scope="session")
def database_url(postgres_url: str) -> Iterator[str]:
    """A migrated database of this test run alone."""
    with _database(postgres_url) as url:
        engine = connect(url)
        upgrade(engine)
        engine.dispose()
        yield url


@pytest.fixture
def bare_database_url(postgres_url: str) -> Iterator[str]:
    """An empty database of one test alone: no schema yet."""
    with _database(postgres_url) as url:
        yield url


@contextmanager
def _database(postgres_url: str) -> Iterator[str]:
    server = connect(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    name = f"cascade_test_{secrets.token_hex(6)}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(scope="session")
def shared_engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url, pool_size=20)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    """A migrated, empty database, at the true time."""
    with shared_engine.begin() as connection:
        _empty(connection)
        connection.execute(text("UPDATE cascade.clock_offset SET offset_by = '0'"))
        connection.execute(
            text("UPDATE cascade.ticks SET ticked_at = 'epoch', resumed_at = 'epoch'")
        )
    return shared_engine


def _empty(connection: Connection) -> None:
    """Deletes every row: TRUNCATE takes 60 ms whatever there is, but gives its space back too."""
    tables = [f"cascade.{name}" for name in TABLES.split(", ")]
    sizes = text("SELECT sum(pg_relation_size(one::regclass)) FROM unnest(:tables) one")
    if connection.execute(sizes, {"tables": tables}).scalar_one() > SMALL:
        connection.execute(text(f"TRUNCATE {', '.join(tables)}"))
        return
    unguard, guard = (
        [f"ALTER TABLE cascade.{name} {verb} TRIGGER USER" for name in GUARDED]
        for verb in ("DISABLE", "ENABLE")
    )
    delete = [f"DELETE FROM {table}" for table in tables]  # noqa: S608  # our own tables
    connection.execute(text("; ".join([*unguard, *delete, *guard])))


@pytest.fixture
def hints() -> list[Hint]:
    """What the `ledger` published."""
    return []


@pytest.fixture
def ledger(engine: Engine, hints: list[Hint]) -> Ledger:
    """An empty database with the policies and rates of `config/`."""
    sync(engine, CONFIG)

    def publish(new: object) -> int:
        published = list(new)  # type: ignore[call-overload]  # an iterable of hints
        hints.extend(published)
        return len(published)

    return Ledger(engine=engine, keyring=Keyring({"test": b"k" * 32}, b"h" * 32), publish=publish)


@pytest.fixture
def advance_clock(engine: Engine):
    """Moves the database's clock forward by so many seconds."""

    def advance(seconds: float) -> None:
        with engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE cascade.clock_offset"
                    " SET offset_by = offset_by + make_interval(secs => :seconds)"
                ),
                {"seconds": seconds},
            )

    return advance


@pytest.fixture
def journey(ledger: Ledger, advance_clock: Callable[[float], None]) -> Journey:
    """Messages that a test takes through the real services, step by step."""
    return Journey(ledger, advance_clock)
