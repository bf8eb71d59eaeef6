"""The service as it is measured: the product's own processes, and a provider that costs little."""

from __future__ import annotations

import sys
import time
import urllib.request

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typing_extensions import override

from benchmarks.processes import Tree, server_pid
from cascade.client import Cascade
from cascade.dispatch import Dispatcher, producer_app
from cascade.services.deployment import Ledger
from cascade.settings import ClientSettings
from cascade.storage.database import connect
from demo.stack import Stack


CHANNEL_WORKERS = frozenset({"vk", "ok", "viber", "whatsapp", "sms", "urgent"})


Settings = Callable[[str], Mapping[str, str]]  # by the provider's address


def no_settings(_provider_url: str) -> Mapping[str, str]:
    """Nothing on top of the stack's own environment."""
    return {}


@dataclass  # without slots, which would break super()
class BenchStack(Stack):
    """A stack whose Celery app, provider and settings can be chosen; without Flower."""

    app: str = "workers.app"
    has_gateway: bool = True
    provider: Sequence[str] = ()  # options of benchmarks.provider
    gateway: str = "cascade.gateway"
    settings: Settings = no_settings

    @override
    def start_gateway(self) -> None:
        if self.has_gateway:
            port = str(self.running().gateway_port)
            options = ["--port", port, "--log-level", self.log_level]
            self._start("gateway", sys.executable, "-m", self.gateway, *options)

    def groups(self) -> dict[str, Callable[[], float]]:
        """What tells CPU seconds so far, by group: the provider's left out."""
        groups: dict[str, Callable[[], float]] = {
            "producer": time.process_time,
            "database": Tree(server_pid("postgres")).cpu_seconds,
            "broker": Tree(server_pid("valkey-server")).cpu_seconds,
        }
        channels = [self._tree(name) for name in self.processes if name in CHANNEL_WORKERS]
        groups["worker"] = lambda: sum(tree.cpu_seconds() for tree in channels)
        for name in self.processes:
            if name not in CHANNEL_WORKERS and name != "sandbox":
                groups[name] = self._tree(name).cpu_seconds
        return groups

    def provider_cpu(self) -> float:
        """CPU seconds of the provider so far; 0 where there is none."""
        return self._tree("sandbox").cpu_seconds() if "sandbox" in self.processes else 0.0

    def ledger(self) -> Ledger:
        """The database, with hints that go to this stack's broker."""
        settings = ClientSettings.model_validate(
            {
                name.removeprefix("CASCADE_").lower(): value
                for name, value in self.environ.items()
                if name.startswith("CASCADE_")
            }
        )
        dispatcher = Dispatcher(producer_app(settings.broker_url.get_secret_value()))
        return Ledger(
            engine=connect(settings.database_url.get_secret_value(), pool_size=5),
            keyring=settings.keyring(),
            publish=dispatcher.publish,
        )

    def client(self) -> Cascade:
        """What an app sends with."""
        return Cascade(self.ledger())

    def _tree(self, name: str) -> Tree:
        return Tree(self.processes[name].popen.pid)

    @override
    def _prepare(self) -> None:
        self.environ |= self.settings(self.sandbox_url)
        super()._prepare()

    @override
    def _start_sandbox(self) -> None:
        if not self.has_gateway:
            return
        environment = self.running()
        options = ["--port", str(environment.sandbox_port), "--gateway", environment.gateway_url]
        self._start(
            "sandbox", sys.executable, "-m", "benchmarks.provider", *options, *self.provider
        )

    @override
    def _celery(self, *arguments: str) -> list[str]:
        return [self.app if one == "workers.app" else one for one in super()._celery(*arguments)]

    def start_servers(self, say: Callable[[str], None]) -> None:
        """The servers and the schema; no process of ours."""
        self.directory.mkdir(parents=True, exist_ok=True)
        say("PostgreSQL and the broker")
        self._start_servers()
        self._prepare()

    def start_some(self, say: Callable[[str], None]) -> None:
        """What the fields name, without beat."""
        self.start_servers(say)
        say("processes")
        self._start_sandbox()
        self.start_gateway()
        for name in self.workers:
            self.start_worker(name)
        self._await_all()

    def ask(self, path: str) -> bytes:
        """The provider's answer to a GET."""
        with urllib.request.urlopen(f"{self.sandbox_url}/{path}", timeout=30) as answer:  # noqa: S310  # loopback
            return bytes(answer.read())


@contextmanager
def running(stack: BenchStack, start: Callable[[], object]) -> Iterator[BenchStack]:
    """The stack, started by `start` and in the end stopped."""
    try:
        start()
        yield stack
    finally:
        stack.stop()


def small(directory: Path, **changes: object) -> BenchStack:
    """A stack without Flower that logs warnings only."""
    fields: dict[str, Any] = {
        "directory": directory,
        "seed": 1,
        "scale": 1.0,
        "has_flower": False,
        "log_level": "WARNING",
        **changes,
    }
    return BenchStack(**fields)


@contextmanager
def place() -> Iterator[Path]:
    """A directory for one stack."""
    with TemporaryDirectory(prefix="cascade-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)
