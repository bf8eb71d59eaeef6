"""Its processes, and what takes one sample of it."""

from __future__ import annotations

import os
import re
import sys
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from benchmarks import crowd
from benchmarks.looks import await_count
from benchmarks.naive.tables import Bill, Message, create
from benchmarks.processes import Meter, Tree, server_pid
from benchmarks.sample import Sample, VoidError
from benchmarks.stack import BenchStack
from demo.environment import free_ports
from demo.process import Process, start, stop


MESSAGES = 1500
PATIENCE = 120.0
_DATABASE = 8  # of the broker


@contextmanager
def naive(
    stack: BenchStack, directory: Path, *, over_http: bool
) -> Iterator[Callable[[], Sample]]:
    """The naive service beside `stack`, on its servers; gives what takes one sample."""
    broker_url = re.sub(r"/\d+$", f"/{_DATABASE}", stack.environ["CASCADE_BROKER_URL"])
    provider_port, web_port = free_ports(2)
    environ = os.environ | {
        "NAIVE_BROKER_URL": broker_url,
        "NAIVE_DATABASE_URL": stack.environ["CASCADE_DATABASE_URL"],
        "CASCADE_NOTIFY_VK_WEBHOOK_TOKEN": "token",
        "CASCADE_NOTIFY_OK_WEBHOOK_TOKEN": "token",
    }
    python = [sys.executable, "-m"]
    commands = {"naive": [*python, "celery", "--app", "benchmarks.naive.app", "worker", "-c", "2"]}
    if over_http:
        environ["NAIVE_PROVIDER_URL"] = f"http://127.0.0.1:{provider_port}"
        web = ["benchmarks.naive.web:app", "--port", str(web_port), "--log-level", "warning"]
        commands["naive-web"] = [*python, "uvicorn", *web]
        options = ["--port", str(provider_port), "--gateway", f"http://127.0.0.1:{web_port}"]
        commands["naive-provider"] = [
            *python, "benchmarks.provider", *options, "--first", "notify-vk",
        ]  # fmt: skip
    engine = stack.ledger().engine
    create(engine)
    processes = [
        start(name, command, environ=environ, directory=directory)
        for name, command in commands.items()
    ]
    app = Celery("producer", broker=broker_url)
    try:
        _through(engine, app, _groups(processes), 50)  # warm
        yield lambda: _through(engine, app, _groups(processes), MESSAGES)
    finally:
        app.close()
        stop(processes)
        engine.dispose()


def _groups(processes: list[Process]) -> dict[str, Callable[[], float]]:
    trees = [Tree(one.popen.pid) for one in processes if one.name != "naive-provider"]
    return {
        "producer": time.process_time,
        "worker": lambda: sum(tree.cpu_seconds() for tree in trees),
        "database": Tree(server_pid("postgres")).cpu_seconds,
        "broker": Tree(server_pid("valkey-server")).cpu_seconds,
    }


def _through(
    engine: Engine, app: Celery, groups: dict[str, Callable[[], float]], count: int
) -> Sample:
    done = _bills(engine)
    meter = Meter.start(groups)
    begun = time.monotonic()
    for row in crowd.rows(count):
        with Session(engine) as session:
            message = Message(phone=row["to"].removeprefix("+"), text=crowd.TEXT)
            session.add(message)
            session.commit()
            app.send_task("naive.send", [message.id])
    await_count(lambda: _bills(engine) - done, count, check=lambda: None, patience=PATIENCE)
    sample = Sample(count=count, seconds=time.monotonic() - begun, cpu=meter.read())
    _check(engine, done + count)
    return sample


def _check(engine: Engine, count: int) -> None:
    """Raises VoidError if not every message was delivered and billed."""
    with Session(engine) as session:
        delivered = session.scalar(select(func.count()).where(Message.state == "delivered"))
    if (delivered, _bills(engine)) != (count, count):
        raise VoidError(f"the naive design delivered {delivered} and billed {_bills(engine)}")


def _bills(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(Bill)) or 0
