"""How fast an app can enqueue: `send_many`, in this process."""

from __future__ import annotations

import time

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from benchmarks import crowd, recount
from benchmarks.part import Part, Say, Started, ratio
from benchmarks.processes import Meter
from benchmarks.sample import Sample, VoidError
from benchmarks.stack import running, small


MESSAGES = 20_000


@contextmanager
def _start(directory: Path, say: Say) -> Iterator[Started]:
    stack = small(directory)
    with running(stack, lambda: stack.start_servers(say)):
        engine, client = stack.ledger().engine, stack.client()
        broker_url = stack.environ["CASCADE_BROKER_URL"]

        def sample() -> Sample:
            recount.empty(engine)
            meter = Meter.start(stack.groups())
            begun = time.monotonic()
            report = client.send_many(crowd.rows(MESSAGES), text=crowd.TEXT)
            seconds = time.monotonic() - begun
            cpu = meter.read()
            if report.accepted != MESSAGES or recount.attempts(engine) != MESSAGES:
                raise VoidError("not all were accepted")
            with redis.Redis.from_url(broker_url) as broker:
                broker.flushdb()  # nobody takes the hints
            return Sample(count=MESSAGES, seconds=seconds, cpu=cpu)

        sample()  # warm
        yield Started(broker_url=broker_url, sample=sample)


PART = Part(
    name="enqueue",
    what="send_many, numbers and texts checked",
    things="messages",
    goals=[ratio(12, 8)],
    start=_start,
)
