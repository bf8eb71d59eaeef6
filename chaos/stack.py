"""The service with a proxy before every connection, two beats, and producers that may die."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import redis

from typing_extensions import override

from cascade import embedded
from cascade.dispatch import CALL, COLLECT, ENQUEUE, POLL, SYNC
from chaos.proxy.links import Links
from chaos.schedule import BEATS, BROKER, DATABASE, PRODUCERS, WORKERS, Size
from demo.environment import ROOT, make
from demo.stack import WORKERS as DEMO_WORKERS, Stack


WARMING = "warming"  # one more producer, before the others
WARM_UP_MESSAGES = 100

_HISTORY = ROOT / "chaos" / "checker" / "history.sql"
_SERVERS = {DATABASE: "CASCADE_DATABASE_URL", BROKER: "CASCADE_BROKER_URL"}

# Debian's; a file that tells the offset is read anew every second.
_FAKETIME = tuple(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def can_shift_clocks() -> bool:
    """Whether libfaketime is installed."""
    return bool(_FAKETIME)


@dataclass  # without slots, which would break super()
class ChaosStack(Stack):
    """A stack that can be broken; its servers listen where they did before when started again."""

    size: Size = field(kw_only=True)
    weather: Path = field(kw_only=True)
    sabotage: str | None = field(kw_only=True)
    sql: str = field(default="", kw_only=True)  # to change the database by, before the start
    links: Links = field(init=False, repr=False)
    postgres: embedded.Server = field(init=False, repr=False)
    valkey: embedded.Server | None = field(default=None, init=False, repr=False)

    @override
    def start(self, say: Callable[[str], None]) -> None:
        """As the stack does, and a second beat."""
        super().start(say)
        self.start_beat(BEATS[1])

    def start_producers(self) -> None:
        """Lets the messages come; returns when they do."""
        for name in PRODUCERS:
            self.start_producer(name)
        begun = [self._journal(name).with_suffix(".begun") for name in PRODUCERS]
        self._await("producers", lambda: all(one.exists() for one in begun))

    def start_producer(self, name: str) -> None:
        """Starts (again) one of `PRODUCERS`."""
        share = self.size.messages // len(PRODUCERS)
        self._produce(name, messages=share, seconds=self.size.sending, fates=self.size.fates)

    def start_warming(self) -> None:
        """Lets a few messages come that are delivered at once, so that all processes are at work."""
        self._produce(WARMING, messages=WARM_UP_MESSAGES, seconds=0, fates="1")

    def _produce(self, name: str, *, messages: int, seconds: float, fates: str) -> None:
        options = ["--journal", str(self._journal(name)), "--name", name]
        options += ["--messages", str(messages), "--seconds", str(seconds)]
        options += ["--deadline", str(self.size.deadline), "--seed", str(self.seed)]
        options += ["--fates", fates]
        self._start(name, sys.executable, "-m", "chaos.producer", *options)

    def journals(self) -> list[Path]:
        """What the producers have noted of what was accepted."""
        return [self._journal(name) for name in (WARMING, *PRODUCERS)]

    def _journal(self, name: str) -> Path:
        return self.directory / f"{name}.jsonl"

    def producers_are_done(self) -> bool:
        """Whether every message was accepted. Raises DiedError for one that failed."""
        running = [self.processes[name] for name in PRODUCERS if name in self.processes]
        for process in running:
            if process.popen.poll() not in (None, 0):
                process.check()
        return len(running) == len(PRODUCERS) and all(
            process.popen.poll() == 0 for process in running
        )

    @override
    def check(self) -> None:
        """Raises DiedError if a process does not run that should."""
        for name, process in list(self.processes.items()):
            if name not in (WARMING, *PRODUCERS):
                process.check()

    @override
    def restart(self, name: str) -> None:
        """Starts again what was killed."""
        if name in PRODUCERS:
            self.start_producer(name)
        elif name in BEATS:
            self.start_beat(name)
        else:
            super().restart(name)

    def children(self, name: str) -> list[int]:
        """The process ids of a worker's children."""
        parent = self.processes[name].popen.pid
        # `nice` has become the worker by exec, so its children are the pool.
        return [int(pid) for pid in _read(f"/proc/{parent}/task/{parent}/children").split()]

    def kill_database(self) -> None:
        """Ends PostgreSQL at once, without a checkpoint, as a crash would."""
        self.postgres.process.send_signal(signal.SIGQUIT)
        self.postgres.process.wait()

    def start_database(self) -> None:
        """Starts it again where it was; it recovers from its log."""
        port = int(_port(self.postgres.url))
        self.postgres = embedded.start_postgres(self.directory, port=port)

    def kill_broker(self) -> None:
        """SIGKILL to Valkey."""
        assert self.valkey is not None  # noqa: S101  # the schedule knows which broker it is
        self.valkey.process.kill()
        self.valkey.process.wait()

    def start_broker(self) -> None:
        """Starts it again where it was, with what it had written to its disk."""
        assert self.valkey is not None  # noqa: S101
        port = int(_port(self.valkey.url))
        self.valkey = embedded.start_valkey(self.directory, port=port)

    def signal_broker(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT to Valkey."""
        assert self.valkey is not None  # noqa: S101
        os.kill(self.valkey.pid, number)

    def flush_broker(self) -> None:
        """Everything in Valkey is gone."""
        assert self.valkey is not None  # noqa: S101
        with redis.Redis.from_url(self.valkey.url, socket_timeout=5) as client:
            client.flushall()

    def terminate_backends(self) -> int:
        """How many connections PostgreSQL has ended."""
        with psycopg2.connect(self.dsn) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            (ended,) = cursor.fetchone() or (0,)
            return int(ended)

    @property
    def dsn(self) -> str:
        """Of the database itself, past every proxy."""
        return self.postgres.url.replace("+psycopg2", "")

    def shift_clock(self, name: str, seconds: int) -> None:
        """Sets a worker's clock off by so much; 0 mends it."""
        self._clock_file(name).write_text(f"{seconds:+d}s")

    @override
    def _start_servers(self) -> None:
        self._start_postgres()
        broker_url = self.broker_url
        if broker_url is None:
            self.valkey = embedded.start_valkey(self.directory)
            broker_url = self.valkey.url
        self.environment = make(self.postgres.url, broker_url)
        self.environ = dict(self.environment.values)
        self.links = Links.start(self.directory, self._targets())
        self.servers.callback(self._stop_servers)

    def _start_postgres(self) -> None:
        """A server that remembers when each transaction was committed, for the checker."""
        self.postgres = embedded.start_postgres(self.directory)
        with contextlib.closing(psycopg2.connect(self.dsn)) as connection:
            connection.autocommit = True
            connection.cursor().execute("ALTER SYSTEM SET track_commit_timestamp = on")
        self.postgres.stop()
        self.start_database()

    def _stop_servers(self) -> None:
        self.links.stop()
        self.postgres.stop()
        if self.valkey is not None:
            self.valkey.stop()

    @override
    def _prepare(self) -> None:
        super()._prepare()
        with psycopg2.connect(self.dsn) as connection, connection.cursor() as cursor:
            cursor.execute(_HISTORY.read_text("utf-8") + self.sql)

    def _targets(self) -> dict[str, tuple[str, int]]:
        """Where each link leads; its name is `process>server`."""
        names = (*WORKERS, *BEATS, *PRODUCERS, "gateway")
        return {
            f"{name}>{server}": ("127.0.0.1", int(_port(self.environ[variable])))
            for name in names
            for server, variable in _SERVERS.items()
        }

    @override
    def _start(self, name: str, *command: str) -> None:
        plain = self.environ
        self.environ = self._environ_of(name)
        try:
            super()._start(name, *self._launched(name, command))
        finally:
            self.environ = plain

    def _environ_of(self, name: str) -> dict[str, str]:
        environ = dict(self.environ)
        for server, variable in _SERVERS.items():
            if f"{name}>{server}" in self.links.ports:
                port = self.links.ports[f"{name}>{server}"]
                environ[variable] = re.sub(r":\d+(?=/)", f":{port}", environ[variable])
        environ |= {"CHAOS_SABOTAGE": self.sabotage or "", "CHAOS_PROCESS": name}
        if name in WORKERS and can_shift_clocks():
            self.shift_clock(name, 0)
            environ |= _faketime(self._clock_file(name))
        return environ

    def _launched(self, name: str, command: Sequence[str]) -> Sequence[str]:
        """The command, so that the process can be changed; the judge never is."""
        if name == "sandbox":
            return command
        place = command.index("-m") + 1
        return (*command[:place], "chaos.launch", *command[place:])

    def _clock_file(self, name: str) -> Path:
        return self.directory / f"clock-{name}"

    @override
    def sandbox_options(self) -> list[str]:
        """The weather of this run."""
        return [*super().sandbox_options(), "--weather", str(self.weather)]


def _port(url: str) -> str:
    found = re.search(r":(\d+)/", url)
    assert found is not None  # noqa: S101  # our own servers' addresses have one
    return found[1]


def _faketime(file: Path) -> Mapping[str, str]:
    return {
        "LD_PRELOAD": str(_FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


CHAOS_WORKERS: Mapping[str, tuple[list[str], int]] = {
    **{name: (queues, 2) for name, (queues, _) in DEMO_WORKERS.items() if name != "collector"},
    "collector": ([COLLECT, ENQUEUE, SYNC, POLL], 2),
    "callbacks": ([CALL], 1),
}
