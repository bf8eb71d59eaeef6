"""How fast receipts are applied and charged: 40,000 that lie in the inbox."""

from __future__ import annotations

import time

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import recount
from benchmarks.looks import await_count
from benchmarks.part import Part, Say, Started, ratio
from benchmarks.processes import Meter
from benchmarks.sample import Sample
from benchmarks.stack import BenchStack, running, small
from benchmarks.with_provider import send
from cascade.dispatch import COLLECT, Dispatcher, producer_app
from cascade.domain.policy import PolicyStep
from cascade.storage.database import transaction
from cascade.storage.inbox import store


_STEPS: list[PolicyStep] = [{"channel": "ok", "ttl": "10m"}]
RECEIPTS = 40_000
COLLECTORS = 2
_SET = 1000
_PATIENCE = 120.0  # seconds


@contextmanager
def _start(directory: Path, say: Say) -> Iterator[Started]:
    stack = small(directory, workers={"collector": ([COLLECT], COLLECTORS)}, has_gateway=False)
    with running(stack, lambda: stack.start_some(say)):
        _sample(stack, 2000)  # warm
        yield Started(
            broker_url=stack.environ["CASCADE_BROKER_URL"],
            sample=lambda: _sample(stack, RECEIPTS),
        )


def _sample(stack: BenchStack, count: int) -> Sample:
    engine = stack.ledger().engine
    recount.empty(engine)
    receipts = send(stack.ledger(), count, _STEPS)
    for at in range(0, count, _SET):
        transaction(engine, partial(store, receipts=receipts[at : at + _SET]))
    recount.tidy(engine)
    dispatcher = Dispatcher(producer_app(stack.environ["CASCADE_BROKER_URL"]))
    meter = Meter.start(stack.groups())
    begun = time.monotonic()
    for _ in range(COLLECTORS):  # as two beats of the clock do
        dispatcher.send(COLLECT, [], COLLECT)
    await_count(partial(recount.charged, engine), count, check=stack.check, patience=_PATIENCE)
    sample = Sample(count=count, seconds=time.monotonic() - begun, cpu=meter.read())
    recount.await_books(engine, recount.Books(messages=count, unsupported=0))
    engine.dispose()
    return sample


PART = Part(
    name="collect",
    what="receipts applied and charged",
    things="receipts",
    goals=[ratio(20, 15)],
    start=_start,
)
