from __future__ import annotations

import re
import uuid

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cascade import Cascade, Producer
from cascade.domain.policy import Policy, Step
from cascade.domain.state import Channel
from cascade.services.deployment import Ledger
from cascade.settings import ClientSettings, load
from cascade.storage.database import connect
from cascade.storage.policies import sync
from demo.__main__ import SCALE
from demo.stack import Stack
from tests.acceptance.caller import Caller
from tests.acceptance.run import Run, demo_run
from tests.acceptance.service import Service, phone


MESSAGES = 60  # of the demo's run
SEED = 4  # none of whose recipients makes a channel wait long

# WhatsApp takes no TTL of ours, so ours may be as short as a test wants it.
HASTY = Policy(
    name="hasty",
    steps=(
        Step(channel=Channel.WHATSAPP, account="cloud-whatsapp", ttl=1, ttl_minimum=0),
        Step(channel=Channel.SMS, account="smsc", ttl=60, ttl_minimum=0),
    ),
)

# One of each way through the cascade.
NUMBERS = {
    "five channels": phone("44441"),
    "twice": phone("75713"),
    "read": phone("33333", 1),
    "blocked": phone("45531"),
    "by webhook": phone("55411"),
    "out of order": phone("47117"),
    "nowhere": phone("44454"),
}


@pytest.fixture(scope="package", autouse=True)
def _start_early(request: pytest.FixtureRequest, stack: Stack) -> None:
    """The demo's minute is mostly waiting: where its tests are to come, the others run in it.

    But not before the stack has started: two starts at once would outlast what either waits.
    """
    if any("whole_run" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("whole_run")


@pytest.fixture(scope="package")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Path]]:
    """A demo from start to end, and where it writes its figures."""
    directory = tmp_path_factory.mktemp("demo")
    report = directory / "report.json"
    options = ["--messages", str(MESSAGES), "--seed", str(SEED), "--json", str(report)]
    with demo_run(directory, *options) as run:
        yield run, report


@pytest.fixture(scope="package")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """An app on a broker of its own, which the stack knows as `caller`."""
    caller = Caller(tmp_path_factory.mktemp("caller"))
    yield caller
    caller.close()


@pytest.fixture(scope="package")
def stack(
    postgres_url: str, broker_url: str, caller: Caller, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Everything there is, as child processes; one for all tests of this folder."""
    stack = Stack(
        tmp_path_factory.mktemp("stack"),
        seed=1,
        scale=SCALE,
        database_url=postgres_url,
        broker_url=re.sub(r"/\d+$", "/1", broker_url),  # other tests fill the first database
        callback_brokers={"caller": caller.url},
        log_level="DEBUG",  # and the logs are searched for what must not be in them
    )
    try:
        stack.start(lambda _: None)
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="package")
def service(stack: Stack, broker_files: Path | None) -> Iterator[Service]:
    """The stack with a client."""
    with serve(stack, broker_files) as service:
        yield service


@contextmanager
def serve(stack: Stack, broker_files: Path | None = None) -> Iterator[Service]:
    """A running stack with a client that was set up from the environment, as an app does it."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in stack.environ.items():
            environment.setenv(name, value)
        settings = load(ClientSettings)
        cascade, producer = Cascade.from_env(), Producer.from_env()
    engine = connect(stack.environ["CASCADE_DATABASE_URL"])
    with engine.begin() as connection:
        sync(connection, [HASTY])
    ledger = Ledger(engine=engine, keyring=settings.keyring(), publish=lambda _hints: 0)
    yield Service(stack, engine, cascade, producer, ledger, broker_files)
    cascade.close()
    engine.dispose()


@pytest.fixture(autouse=True)
def _everything_runs(stack: Stack) -> Iterator[None]:
    """A process that died is the failure of the test in which it did."""
    yield
    stack.check()


@pytest.fixture(scope="package")
def campaign(service: Service) -> dict[str, uuid.UUID]:
    """Messages that have gone each their way, by name."""
    ids = {name: service.send(number) for name, number in NUMBERS.items()}
    ids["expired"] = service.send(phone("11161"), policy="hasty")
    service.await_final(ids.values())
    return ids
