"""How fast webhooks come into the inbox: one gateway process, each committed before its answer."""

from __future__ import annotations

import json
import time

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from benchmarks import recount
from benchmarks.part import Part, Say, Started, ratio
from benchmarks.processes import Meter
from benchmarks.sample import Sample, VoidError
from benchmarks.stack import BenchStack, running, small


WEBHOOKS = 20_000


@contextmanager
def _start(directory: Path, say: Say) -> Iterator[Started]:
    stack = small(directory, workers={})
    with running(stack, lambda: stack.start_some(say)):
        _sample(stack, 2000)  # warm
        yield Started(
            broker_url=stack.environ["CASCADE_BROKER_URL"],
            sample=lambda: _sample(stack, WEBHOOKS),
        )


def _sample(stack: BenchStack, count: int) -> Sample:
    engine = stack.ledger().engine
    recount.empty(engine)
    meter, provider = Meter.start(stack.groups()), stack.provider_cpu()
    begun = time.monotonic()
    stack.ask(f"storm/{count}")
    while json.loads(stack.ask("pending"))["pending"]:
        Event().wait(0.02)
    seconds = time.monotonic() - begun
    cpu = meter.read()
    if recount.receipts(engine) != count:
        raise VoidError("a webhook was acknowledged and is not there")
    engine.dispose()
    spent = 1000 * (stack.provider_cpu() - provider) / count
    return Sample(count=count, seconds=seconds, cpu=cpu, provider=spent)


PART = Part(
    name="ingest",
    what="webhooks into the inbox, one gateway process",
    things="webhooks",
    goals=[ratio(8, 6)],
    start=_start,
)
