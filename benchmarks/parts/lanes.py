"""What 50,000 bulk messages in the queue cost an urgent one."""

from __future__ import annotations

import json
import time

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from threading import Event

from sqlalchemy import Engine, text

from benchmarks import books, crowd, recount
from benchmarks.part import Goal, Part, Say, Started
from benchmarks.sample import Sample, VoidError
from benchmarks.stack import BenchStack, running, small
from cascade.client import Cascade
from cascade.dispatch import COLLECT, ENQUEUE, POLL, SYNC, TICK, lane_queue, queue_lengths
from cascade.domain.policy import PolicyStep
from cascade.domain.state import Channel, Lane


URGENT = 300
BULK = 50_000
PAUSE = 0.02  # seconds between two urgent messages
_STEPS: list[PolicyStep] = [{"channel": "ok", "ttl": "1h"}]
_PATIENCE = 20.0

_FORGET = text("""
    UPDATE cascade.attempts SET state = 'cancelled', due_at = NULL, ended_at = cascade.clock()
    WHERE state = 'queued'
""")


@contextmanager
def _start(directory: Path, say: Say) -> Iterator[Started]:
    stack = small(
        directory,
        workers={
            "ok": ([lane_queue(Channel.OK, lane) for lane in Lane], 1),
            "urgent": ([lane_queue(Channel.OK, Lane.URGENT)], 1),
            "collector": ([COLLECT, ENQUEUE, SYNC, POLL], 2),
            "tick": ([TICK], 1),
        },
        provider=("--latency", "0.05"),
    )
    with running(stack, lambda: stack.start(say)):
        client, engine = stack.client(), stack.ledger().engine
        _urgent(stack, client, 10)  # warm
        yield Started(
            broker_url=stack.environ["CASCADE_BROKER_URL"],
            sample=lambda: _sample(stack, engine, client),
        )


def _sample(stack: BenchStack, engine: Engine, client: Cascade) -> Sample:
    _rest(stack, engine)
    begun = time.monotonic()
    idle = _urgent(stack, client, URGENT)
    client.send_many(
        crowd.rows(BULK, first=1_000_000), text=crowd.TEXT, policy=_STEPS, priority=Lane.BULK
    )
    busy = _urgent(stack, client, URGENT)
    seconds = time.monotonic() - begun
    _check(engine)
    figures = {"idle_p99": idle, "busy_p99": busy, "lanes": busy / idle}
    return Sample(count=2 * URGENT, seconds=seconds, figures=figures)


def _check(engine: Engine) -> None:
    """Raises VoidError if the queue was empty before the end, or the books are wrong so far."""
    found = books.counted(engine)
    if found["ended"] >= BULK:
        raise VoidError("the queue was empty before the end")
    books.require(
        found,
        messages=2 * URGENT + BULK,
        attempts=2 * URGENT + BULK,
        ended=found["charges"],
        delivered=found["charges"],
        applied=found["charges"],
    )


def _rest(stack: BenchStack, engine: Engine) -> None:
    """Forgets what is left in the queue, and waits until nothing is under way."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(_FORGET)
    while _queued(stack) or stack.pending():
        Event().wait(0.1)
    recount.empty(engine)


def _queued(stack: BenchStack) -> int:
    lengths = queue_lengths(stack.environ["CASCADE_BROKER_URL"])
    return sum(lengths[lane_queue(Channel.OK, lane)] for lane in Lane)


def _urgent(stack: BenchStack, client: Cascade, count: int) -> float:
    """The 99th percentile of the milliseconds from `send` to the provider."""
    taken = []
    for number in range(count):
        phone = f"{crowd.FIRST_NUMBER + number}"
        stack.ask("watch/" + phone)
        begun = time.monotonic()
        client.send(to=f"+{phone}", text="Код 1234", policy=_STEPS, priority=Lane.URGENT)
        taken.append(1000 * (_seen(stack, begun) - begun))
        Event().wait(PAUSE)
    return quantiles(taken, n=100)[98]


def _seen(stack: BenchStack, begun: float) -> float:
    """The moment when the number that is watched came in."""
    while time.monotonic() < begun + _PATIENCE:
        seen = json.loads(stack.ask("seen"))
        if seen is not None:
            return float(seen)
        Event().wait(0.01)
    raise VoidError("an urgent message did not come")


PART = Part(
    name="lanes",
    what="an urgent message while 50,000 bulk ones are queued",
    things="messages",
    goals=[Goal(figure="lanes", goal=3, at_least=False, unit="× idle p99")],
    start=_start,
)
