"""The whole service on this machine: servers, sandbox, gateway, workers, beat, Flower."""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

from cascade.dispatch import CALL, COLLECT, ENQUEUE, POLL, SYNC, TICK, lane_queue, producer_app
from cascade.domain.state import Channel, Lane
from cascade.services.sync import sync
from cascade.storage.database import connect
from cascade.storage.migrate import upgrade
from demo.environment import ROOT, Environment, make
from demo.process import Process, start, stop, uninterrupted
from demo.servers import broker, database


READY_SECONDS = 90.0

# Node names and the queues they serve, the first served first, and its children.
WORKERS: Mapping[str, tuple[list[str], int]] = {
    # More than one child each: a call that is never answered keeps its task for 4 s.
    **{str(channel): ([lane_queue(channel, lane) for lane in Lane], 4) for channel in Channel},
    "urgent": ([lane_queue(channel, Lane.URGENT) for channel in Channel], 2),
    "collector": ([COLLECT, ENQUEUE, SYNC, POLL, CALL], 2),
    "tick": ([TICK], 1),
}


@dataclass(slots=True)
class Stack:
    """Everything that was started, in the order of its start."""

    directory: Path
    seed: int
    scale: float
    # Of a server and a broker to use instead of embedded ones.
    database_url: str | None = field(default=None, repr=False)
    broker_url: str | None = field(default=None, repr=False)
    callback_brokers: Mapping[str, str] = field(default_factory=dict, repr=False)  # more of them
    workers: Mapping[str, tuple[list[str], int]] = field(default_factory=lambda: WORKERS)
    has_flower: bool = True
    log_level: str = "INFO"
    servers: ExitStack = field(default_factory=ExitStack, repr=False)
    processes: dict[str, Process] = field(default_factory=dict)
    environment: Environment | None = None
    environ: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    starting: Lock = field(default_factory=Lock, repr=False)

    @property
    def sandbox_url(self) -> str:
        """Where the providers are."""
        return self.running().sandbox_url

    def addresses(self) -> str:
        """Where to look, a line each, for a person at this machine."""
        environment = self.running()
        return (
            f"Flower   {environment.flower_url}  {environment.flower_login}\n"
            f"gateway  {environment.gateway_url}\n"
            f"sandbox  {environment.sandbox_url}\n"
            f"logs     {self.directory / 'logs'}"
        )

    @property
    def sandbox_ledger(self) -> Path:
        """The sandbox's own book."""
        return self.directory / "sandbox-ledger.jsonl"

    def start(self, say: Callable[[str], None]) -> None:
        """Starts all; returns when every process answers. Raises DiedError, EmbeddedError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        say("PostgreSQL and the broker")
        self._start_servers()
        say("schema, policies and rates")
        self._prepare()
        say("sandbox, gateway, workers, beat and Flower")
        self._start_sandbox()
        self.start_gateway()
        for name in self.workers:
            self.start_worker(name)
        self.start_beat()
        if self.has_flower:
            self._start_flower()
        self._await_all()

    def stop(self) -> None:
        """Stops all, the servers last; Ctrl-C does not cut it short, and nothing can follow."""
        with uninterrupted():
            with self.starting:
                self.stopped = True
            stop(list(reversed(self.processes.values())))
            self.servers.close()

    def check(self) -> None:
        """Raises DiedError if a process does not run any more."""
        for process in list(self.processes.values()):
            process.check()

    def start_worker(self, name: str) -> None:
        """Starts (again) one of `workers`."""
        queues, children = self.workers[name]
        options = ["--hostname", f"{name}@cascade", "--queues", ",".join(queues)]
        options += ["--concurrency", str(children), "--without-gossip", "--without-mingle"]
        # All share one small machine: receipts come before new calls, or sending would outrun them
        # and messages would fall to the next channel for our own lag.
        niceness = "0" if name in ("urgent", "collector", "tick") else "10"
        worker = self._celery("worker", "--loglevel", self.log_level, *options)
        self._start(name, "nice", "-n", niceness, *worker)

    def start_beat(self, name: str = "beat") -> None:
        """Starts (again) the clock of everything that waits; under another name, a second one."""
        self._start(name, *self._celery("beat", "--loglevel", self.log_level))

    def start_gateway(self) -> None:
        """Starts (again) the receipt gateway."""
        environment = self.running()
        options = ["--port", str(environment.gateway_port), "--log-level", self.log_level]
        self._start("gateway", sys.executable, "-m", "cascade.gateway", *options)

    def kill(self, name: str) -> None:
        """SIGKILL to a process and its children, as a crash of its machine would end them."""
        process = self.processes.pop(name)
        os.killpg(process.popen.pid, signal.SIGKILL)
        process.popen.wait()

    def restart(self, name: str) -> None:
        """Starts a worker, beat or the gateway again."""
        starts = {"beat": self.start_beat, "gateway": self.start_gateway}
        starts.get(name, lambda: self.start_worker(name))()

    def sandbox_options(self) -> list[str]:
        """How the sandbox behaves, and where it keeps its book."""
        ledger = ["--ledger", str(self.sandbox_ledger)]
        return [*ledger, "--seed", str(self.seed), "--scale", str(self.scale)]

    def pending(self) -> int:
        """How many events and webhooks the sandbox still has to come."""
        with urllib.request.urlopen(f"{self.sandbox_url}/pending", timeout=5) as answer:  # noqa: S310  # loopback
            return int(re.sub(rb"\D", b"", answer.read()))

    def _start_servers(self) -> None:
        postgres = database(self.directory, self.database_url)
        valkey = broker(self.directory, self.broker_url)
        self.environment = make(
            self.servers.enter_context(postgres), self.servers.enter_context(valkey)
        )
        self.environ = dict(self.environment.values)
        for name, url in self.callback_brokers.items():
            self.environ["CASCADE_CALLBACK_BROKERS"] += f" {name}={url}"

    def _prepare(self) -> None:
        engine = connect(self.environ["CASCADE_DATABASE_URL"])
        upgrade(engine)
        sync(engine, Path(self.environ["CASCADE_CONFIG_DIR"]))
        engine.dispose()

    def _start_sandbox(self) -> None:
        environment = self.running()
        config = self.directory / "sandbox.toml"
        config.touch(mode=0o600)
        config.write_text(environment.sandbox_config(), "utf-8")
        options = ["--config", str(config), "--port", str(environment.sandbox_port)]
        options += self.sandbox_options()
        self._start("sandbox", sys.executable, "-m", "cascade.sandbox", *options)

    def _start_flower(self) -> None:
        port = str(self.running().flower_port)
        self._start("flower", sys.executable, "-m", "workers.flower", "--port", port)

    def _await_all(self) -> None:
        environment = self.running()
        for name, page in (
            ("sandbox", f"{environment.sandbox_url}/health"),
            ("gateway", f"{environment.gateway_url}/health"),
            ("flower", f"{environment.flower_url}/healthcheck"),
        ):
            if name in self.processes:
                self._await(name, functools.partial(_answers, page))
        app = producer_app(self.environ["CASCADE_BROKER_URL"])
        expected = {f"{name}@cascade" for name in self.workers}

        def all_answer() -> bool:
            answers = app.control.ping(timeout=1.0, limit=len(expected)) or []
            return expected <= {name for answer in answers for name in answer}

        self._await("workers", all_answer)

    def _start(self, name: str, *command: str) -> None:
        logs = self.directory / "logs"
        logs.mkdir(exist_ok=True)
        with uninterrupted() as came, self.starting:
            if not self.stopped:
                self.processes[name] = start(name, command, environ=self.environ, directory=logs)
        for number in came[:1]:
            signal.raise_signal(number)

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        """Asks until it is ready; raises DiedError, or TimeoutError after `READY_SECONDS`."""
        until = time.monotonic() + READY_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > until:
                raise TimeoutError(f"{name} was not ready within {READY_SECONDS:.0f} s")
            Event().wait(0.05)

    def running(self) -> Environment:
        """The addresses and secrets of this run; raises RuntimeError before the start."""
        if self.environment is None:
            raise RuntimeError("the servers are not started")
        return self.environment

    def _celery(self, *arguments: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "celery",
            "--workdir",
            str(ROOT),
            "--app",
            "workers.app",
            *arguments,
        ]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # loopback
            return True
    except (urllib.error.URLError, OSError):
        return False
