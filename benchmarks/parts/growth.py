"""What a million finished messages, and ten times as many live ones, cost each statement."""

from __future__ import annotations

import time
import uuid

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import crowd, population, recount
from benchmarks.in_process import InProcess, InProcessTransport, accounts, receipts_for
from benchmarks.part import Goal, Part, Say, Started
from benchmarks.sample import Sample, VoidError
from benchmarks.stack import BenchStack, running, small
from cascade.channels.base import Accepted, Item
from cascade.channels.threaded import ThreadedTransport
from cascade.client import Cascade
from cascade.domain.hint import Hint
from cascade.domain.message import Text
from cascade.domain.policy import PolicyStep
from cascade.services.collect import collect
from cascade.services.deployment import LEASE, Deployment, Ledger
from cascade.services.settle import settle
from cascade.services.tick import PAUSE, tick
from cascade.storage.claim import Claimed
from cascade.storage.database import transaction
from cascade.storage.inbox import store
from cascade.storage.sweep import finish


FINISHED, MANY_FINISHED = 10_000, 1_000_000
LIVE, MANY_LIVE = 20_000, 200_000
ROUNDS = 25
SET = 200
_STEPS: list[PolicyStep] = [{"channel": "ok", "ttl": "12h"}]

Times = Mapping[str, float]  # milliseconds by what was done


@contextmanager
def _start(directory: Path, say: Say) -> Iterator[Started]:
    stack = small(directory)
    with running(stack, lambda: stack.start_servers(say)):
        yield Started(
            broker_url=stack.environ["CASCADE_BROKER_URL"], sample=partial(_sample, stack, say)
        )


def _sample(stack: BenchStack, say: Say) -> Sample:
    begun = time.monotonic()
    say(f"{FINISHED:,} finished and {LIVE:,} live rows")
    few = _times(stack, FINISHED, LIVE)
    say(f"{MANY_FINISHED:,} finished and {LIVE:,} live rows")
    finished = _times(stack, MANY_FINISHED, LIVE)
    say(f"{FINISHED:,} finished and {MANY_LIVE:,} live rows")
    live = _times(stack, FINISHED, MANY_LIVE)
    figures = {f"{name}_ms": value for name, value in few.items()}
    figures |= {f"{name}_finished": finished[name] / few[name] for name in few}
    figures |= {f"{name}_live": live[name] / few[name] for name in few}
    figures["finished"] = max(finished[name] / few[name] for name in few)
    figures["live"] = max(live[name] / few[name] for name in few)
    return Sample(count=ROUNDS * SET, seconds=time.monotonic() - begun, figures=figures)


def _times(stack: BenchStack, finished: int, live: int) -> Times:
    bench = _Bench(stack.ledger())
    try:
        recount.empty(bench.ledger.engine)
        [template] = bench.send(1)
        bench.round()
        bench.copy(template, finished, base=10_000_000, with_receipts=True)
        [template] = bench.send(1)
        bench.settle(bench.claim())
        bench.copy(template, live, base=20_000_000, with_receipts=False)
        bench.send(ROUNDS * SET)
        recount.tidy(bench.ledger.engine)
        rounds = [bench.round() for _ in range(ROUNDS)]
    finally:
        bench.ledger.engine.dispose()
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


class _Bench:
    """The services on one connection, without workers; what is sent waits in `hints`."""

    def __init__(self, ledger: Ledger) -> None:
        self.hints: deque[int] = deque()
        self.ledger = replace(ledger, publish=self._publish)
        self.deployment = Deployment(
            ledger=self.ledger,
            adapters=accounts(),
            transport=InProcessTransport({}, lambda _adapter, _item: None),
            poll_transport=ThreadedTransport(flight=1),
        )

    def send(self, count: int) -> list[uuid.UUID]:
        report = Cascade(self.ledger).send_many(crowd.rows(count), text=crowd.TEXT, policy=_STEPS)
        return [one for one in report.ids if one is not None]

    def copy(self, template: uuid.UUID, count: int, *, base: int, with_receipts: bool) -> None:
        population.copy(
            self.ledger.engine, template, count, base=base, with_receipts=with_receipts
        )

    def round(self) -> Times:
        """Milliseconds that each service takes for the next set."""
        taken: dict[str, float] = {}
        with _timed(taken, "claim"):
            claimed = self.claim()
        with _timed(taken, "settle"):
            self.settle(claimed)
        self._hear(claimed)
        with _timed(taken, "collect"):
            applied = collect(self.ledger)["applied"]
        if applied != len(claimed):
            raise VoidError(f"{applied} receipts were applied, not {len(claimed)}")
        transaction(self.ledger.engine, lambda c: finish(c, "tick", PAUSE))
        with _timed(taken, "tick"):
            tick(self.ledger, frozenset())
        return taken

    def claim(self) -> list[Claimed]:
        ids = [self.hints.popleft() for _ in range(min(SET, len(self.hints)))]
        return self.ledger.store.transaction(lambda t: t.claim(ids, lease=LEASE))

    def settle(self, claimed: Sequence[Claimed]) -> None:
        settle(self.deployment, [(one, Accepted()) for one in claimed])

    def _hear(self, claimed: Sequence[Claimed]) -> None:
        account = self.deployment.adapters["notify-ok"]
        assert isinstance(account, InProcess)  # noqa: S101  # narrows
        new = [
            receipt
            for one in claimed
            for receipt in receipts_for(self.ledger.keyring, account, _item(one))
        ]
        transaction(self.ledger.engine, partial(store, receipts=new))

    def _publish(self, hints: Iterable[Hint]) -> int:
        self.hints.extend(hint.attempt_id for hint in hints)
        return 0


def _item(one: Claimed) -> Item:
    return Item(
        attempt_id=one.attempt_id,
        client_ref=one.client_ref,
        phone="+79160000009",
        body=Text(crowd.TEXT),
        ttl=60,
    )


@contextmanager
def _timed(taken: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    taken[name] = 1000 * (time.perf_counter() - begun)


PART = Part(
    name="growth",
    what="claim, settle, collect and tick among many rows",
    things="messages",
    goals=[
        Goal(figure="finished", goal=1.2, floor=1.3, at_least=False, unit="×, finished rows"),
        Goal(figure="live", goal=1.3, floor=1.5, at_least=False, unit="×, live rows"),
    ],
    start=_start,
    runs=1,
)
