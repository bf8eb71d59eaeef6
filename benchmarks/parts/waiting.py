"""100,000 attempts that wait for their TTL, and what happens when it is over for all at once."""

from __future__ import annotations

import time

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks import books, population, recount
from benchmarks.looks import await_count
from benchmarks.part import Goal, Part, Say, Started, ratio
from benchmarks.processes import Meter, Tree, server_pid
from benchmarks.sample import Sample
from benchmarks.stack import BenchStack, running, small
from benchmarks.with_provider import send
from cascade.dispatch import COLLECT, ENQUEUE, POLL, SYNC, TICK
from cascade.domain.policy import PolicyStep


ATTEMPTS = 100_000
PATIENCE = 300.0  # seconds for one run
_STEPS: list[PolicyStep] = [{"channel": "ok", "ttl": "12h"}, {"channel": "vk", "ttl": "12h"}]

_TEMPLATE = text("SELECT id FROM cascade.messages")
_ALL_DUE = text("""
    UPDATE cascade.attempts
    SET expires_at = cascade.clock() - interval '1 minute', due_at = cascade.clock()
""")
_OPENED = text("SELECT count(*) FROM cascade.attempts WHERE step = 1")


@contextmanager
def _start(directory: Path, say: Say) -> Iterator[Started]:
    workers = {"tick": ([TICK], 1), "collector": ([COLLECT, ENQUEUE, SYNC, POLL], 2)}
    stack = small(directory, workers=workers, has_gateway=False)
    with running(stack, lambda: stack.start(say)):
        _sample(stack, 2000)  # warm
        yield Started(
            broker_url=stack.environ["CASCADE_BROKER_URL"],
            sample=lambda: _sample(stack, ATTEMPTS),
        )


def _sample(stack: BenchStack, count: int) -> Sample:
    engine = stack.ledger().engine
    recount.empty(engine)
    engine.dispose()
    before = _mebibytes(stack)
    _fill(stack, engine, count)
    engine.dispose()  # its own session at the server has grown, too
    waiting = _mebibytes(stack) - before
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(_ALL_DUE)
    meter = Meter.start(stack.groups())
    begun = time.monotonic()
    await_count(partial(_opened, engine), count, check=stack.check, patience=PATIENCE)
    sample = Sample(
        count=count,
        seconds=time.monotonic() - begun,
        cpu=meter.read(),
        figures={"waiting_mib": waiting},
    )
    books.require(
        books.counted(engine),
        messages=count, ended=0, attempts=2 * count, expired=count, applied=0, charges=0,
    )  # fmt: skip
    engine.dispose()
    return sample


def _fill(stack: BenchStack, engine: Engine, count: int) -> None:
    """One message that its provider has, and copies of it."""
    send(stack.ledger(), 1, _STEPS)
    with engine.begin() as connection:
        template = connection.execute(_TEMPLATE).scalar_one()
    population.copy(engine, template, count - 1, base=1_000_000_000)
    recount.tidy(engine)


def _opened(engine: Engine) -> int:
    with engine.begin() as connection:
        return int(connection.execute(_OPENED).scalar_one())


def _mebibytes(stack: BenchStack) -> float:
    pids = [one.popen.pid for one in stack.processes.values()]
    pids += [server_pid("postgres"), server_pid("valkey-server")]
    return sum(Tree(pid).mebibytes() for pid in pids)


PART = Part(
    name="waiting",
    what="100,000 attempts that fall due at once",
    things="attempts",
    goals=[
        ratio(5),
        Goal(figure="waiting_mib", goal=20, at_least=False, unit="MiB"),
    ],
    start=_start,
)
