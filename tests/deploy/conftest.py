from __future__ import annotations

import functools
import shutil
import socket

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cascade import embedded
from demo.servers import database
from deploy.make_env import ROOT
from tests.acceptance.waiting import until
from tests.deploy import dockerfile
from tests.deploy.compose import Service, sample, services
from tests.deploy.running import Machine, Running


READY_SECONDS = 90
SERVERS = {"postgres", "valkey"}  # here they are embedded ones


@pytest.fixture(scope="module")
def compose(
    postgres_url: str, ports: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Service]]:
    """The services of docker-compose.yml with a new .env, but for the addresses of the servers."""
    directory = tmp_path_factory.mktemp("servers")
    with ExitStack() as servers:
        database_url = servers.enter_context(database(directory, postgres_url))
        broker_url = servers.enter_context(embedded.valkey(directory, durable=False))
        given = {"CASCADE_DATABASE_URL": database_url, "CASCADE_BROKER_URL": broker_url}
        given |= {
            name: _on_loopback(value, ports)
            for name, value in sample().items()
            if value.startswith("http://")
        }
        yield services(sample() | given)


@pytest.fixture(scope="module")
def ports() -> dict[str, str]:
    """Free ones instead of those in the containers."""
    theirs = ("8080", "9464", "8090", "5555")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in theirs]
    free = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return dict(zip(theirs, free, strict=True))


@pytest.fixture(scope="module")
def machine(
    compose: dict[str, Service],
    ports: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Machine]:
    """Every service but the servers, started as `docker compose up` starts them, and ready."""
    root = tmp_path_factory.mktemp("image")
    dockerfile.tree(root)
    shutil.copy(ROOT / "demo" / "sandbox.toml", root)
    machine = Machine(root, ports)
    try:
        migrate = machine.start(compose["migrate"])
        assert migrate.process.wait(60) == 0, migrate.said()
        del machine.started["migrate"]
        for name in compose.keys() - SERVERS - {"migrate"}:
            machine.start(compose[name])
        _await_all(machine)
        yield machine
    finally:
        machine.stop()


def _await_all(machine: Machine) -> None:
    # Workers say it in their logs, which costs nothing; beat is well once the others do what it says.
    for running in sorted(machine.started.values(), key=_eagerness):
        ready = functools.partial(_is_ready, machine, running)
        until(ready, seconds=READY_SECONDS, what=running.service.name)


def _eagerness(running: Running) -> int:
    return 2 if running.service.name == "beat" else 0 if running.service.queues else 1


def _is_ready(machine: Machine, running: Running) -> bool:
    assert running.process.poll() is None, running.said()
    if running.service.queues:
        return "ready." in running.said()
    return machine.run(running.service, running.service.health).returncode == 0


def _on_loopback(url: str, ports: dict[str, str]) -> str:
    host, _, path = url.removeprefix("http://").partition("/")
    return f"http://127.0.0.1:{ports[host.partition(':')[2]]}" + (f"/{path}" if path else "")
