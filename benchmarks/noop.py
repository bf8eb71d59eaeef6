"""R0: empty Celery tasks a second, from the first publishing until nothing is unacknowledged."""

from __future__ import annotations

import os
import re
import sys
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import redis

from celery import Celery

from benchmarks.processes import Meter, Tree, server_pid
from benchmarks.sample import Sample
from demo.process import start, stop


TASKS = 4000
DATABASE = 9  # of the broker: nothing of Cascade is there


@contextmanager
def noop(broker_url: str, directory: Path) -> Iterator[Callable[[], Sample]]:
    """A worker with two children on the broker of `broker_url`; gives what takes one sample."""
    url = re.sub(r"/\d+$", f"/{DATABASE}", broker_url)
    command = [sys.executable, "-m", "celery", "--app", "benchmarks.noop_app", "worker"]
    command += ["--concurrency", "2", "--loglevel", "WARNING"]
    worker = start(
        "noop", command, environ={**os.environ, "NOOP_BROKER_URL": url}, directory=directory
    )
    app = Celery("noop", broker=url, set_as_current=False)
    app.conf.update(task_ignore_result=True)
    try:
        with redis.Redis.from_url(url) as broker:
            _run(app, broker, 200)  # warm
            groups = {
                "worker": Tree(worker.popen.pid).cpu_seconds,
                "broker": Tree(server_pid("valkey-server")).cpu_seconds,
                "producer": time.process_time,
            }
            yield lambda: _sample(app, broker, groups)
    finally:
        stop([worker])
        app.close()


def _sample(app: Celery, broker: redis.Redis, groups: dict[str, Callable[[], float]]) -> Sample:
    meter = Meter.start(groups)
    begun = time.monotonic()
    _run(app, broker, TASKS)
    return Sample(count=TASKS, seconds=time.monotonic() - begun, cpu=meter.read())


def _run(app: Celery, broker: redis.Redis, count: int) -> None:
    for _ in range(count):
        app.send_task("noop")
    while broker.llen("celery") or broker.hlen("unacked"):
        Event().wait(0.01)
