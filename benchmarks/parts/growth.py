"""What a million finished messages, and ten times as many live ones, cost each statement."""

from __future__ import annotations

import time
import uuid

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from sqlalchemy import text

from benchmarks import books, crowd, population, recount
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
from cascade.services.sync import sync
from cascade.services.tick import PAUSE, tick
from cascade.storage.charges import Rates
from cascade.storage.claim import Claimed
from cascade.storage.database import connect, transaction
from cascade.storage.inbox import store
from cascade.storage.migrate import upgrade
from cascade.storage.policies import PolicyVersions
from cascade.storage.sweep import finish
from demo.servers import database


# Finished and live rows by the name of their database.
SIZES = {"few": (10_000, 20_000), "finished": (1_000_000, 20_000), "live": (10_000, 200_000)}
ROUNDS = 25
SET = 200
_STEPS: list[PolicyStep] = [{"channel": "ok", "ttl": "12h"}]
_DUE = text("""
    UPDATE cascade.attempts
    SET expires_at = cascade.clock() - interval '1 minute', due_at = cascade.clock()
    WHERE id = ANY(:ids)
""")

Times = Mapping[str, float]  # milliseconds by what was done


@contextmanager
def _start(directory: Path, say: Say) -> Iterator[Started]:
    stack = small(directory)
    with running(stack, lambda: stack.start_servers(say)), ExitStack() as databases:
        benches = {}
        for name, (finished, live) in SIZES.items():
            say(f"{finished:,} finished and {live:,} live rows")
            benches[name] = databases.enter_context(_filled(stack, finished, live))
        yield Started(
            broker_url=stack.environ["CASCADE_BROKER_URL"], sample=partial(_sample, benches)
        )


@contextmanager
def _filled(stack: BenchStack, finished: int, live: int) -> Iterator[_Bench]:
    """A database of its own, with so many rows."""
    with database(stack.directory, stack.environ["CASCADE_DATABASE_URL"]) as url:
        engine = connect(url, pool_size=2)
        upgrade(engine)
        sync(engine, Path(stack.environ["CASCADE_CONFIG_DIR"]))
        bench = _Bench(
            replace(stack.ledger(), engine=engine, versions=PolicyVersions(), rates=Rates())
        )
        bench.fill(finished, live)
        yield bench
        engine.dispose()


def _sample(benches: Mapping[str, _Bench]) -> Sample:
    """Rounds on each database in turn, so that a busy moment of the machine meets all of them."""
    begun = time.monotonic()
    before = {name: bench.counted() for name, bench in benches.items()}
    rounds = [{name: bench.round() for name, bench in benches.items()} for _ in range(ROUNDS)]
    for name, bench in benches.items():
        bench.check(before[name])
    few, finished, live = ([one[name] for one in rounds] for name in SIZES)
    base = _medians(few)
    figures = {f"{name}_ms": value for name, value in base.items()}
    for name, times in (("finished", _medians(finished)), ("live", _medians(live))):
        more = {f"{what}_{name}": times[what] / base[what] for what in base}
        figures |= more | {name: max(more.values())}
    return Sample(count=ROUNDS * SET, seconds=time.monotonic() - begun, figures=figures)


def _medians(rounds: Sequence[Times]) -> Times:
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


class _Bench:
    """The services on one database, without workers; what is sent waits in `hints`."""

    def __init__(self, ledger: Ledger) -> None:
        self.hints: deque[int] = deque()
        self.ledger = replace(ledger, publish=self._publish)
        self.deployment = Deployment(
            ledger=self.ledger,
            adapters=accounts(),
            transport=InProcessTransport({}, lambda _adapter, _item: None),
            poll_transport=ThreadedTransport(flight=1),
        )

    def fill(self, finished: int, live: int) -> None:
        """Copies of one message that was delivered, and of one that waits for its receipt."""
        [template] = self._send(1)
        claimed = self._claim()
        settle(self.deployment, [(one, Accepted()) for one in claimed])
        self._hear(claimed)
        collect(self.ledger)
        population.copy(self.ledger.engine, template, finished, base=10_000_000)
        [template] = self._send(1)
        settle(self.deployment, [(one, Accepted()) for one in self._claim()])
        population.copy(self.ledger.engine, template, live, base=20_000_000)
        recount.tidy(self.ledger.engine)

    def round(self) -> Times:
        """Milliseconds that each service takes: a set is delivered, another set expires."""
        taken: dict[str, float] = {}
        self._expire(SET)
        self._send(SET)
        with _timed(taken, "claim"):
            claimed = self._claim()
        with _timed(taken, "settle"):
            settle(self.deployment, [(one, Accepted()) for one in claimed])
        self._hear(claimed)
        with _timed(taken, "collect"):
            applied = collect(self.ledger)["applied"]
        transaction(self.ledger.engine, lambda c: finish(c, "tick", PAUSE))
        with _timed(taken, "tick"):
            expired = tick(self.ledger, frozenset())["expired"]
        if applied != SET or expired != SET:
            raise VoidError(f"{applied} receipts were applied and {expired} attempts expired")
        return taken

    def counted(self) -> dict[str, int]:
        """Rows by what they are."""
        return books.counted(self.ledger.engine)

    def check(self, before: Mapping[str, int]) -> None:
        """Raises VoidError if something else was written than the rounds should write."""
        done = ROUNDS * SET
        more = dict.fromkeys(before, done) | dict.fromkeys(
            ("messages", "attempts", "ended"), 2 * done
        )
        books.require(self.counted(), **{name: before[name] + more[name] for name in before})

    def _send(self, count: int) -> list[uuid.UUID]:
        report = Cascade(self.ledger).send_many(crowd.rows(count), text=crowd.TEXT, policy=_STEPS)
        return [one for one in report.ids if one is not None]

    def _claim(self) -> list[Claimed]:
        ids = list(self.hints)
        self.hints.clear()
        return self.ledger.store.transaction(lambda t: t.claim(ids, lease=LEASE))

    def _expire(self, count: int) -> None:
        """So many more messages whose TTL is over."""
        self._send(count)
        claimed = self._claim()
        settle(self.deployment, [(one, Accepted()) for one in claimed])
        ids = [one.attempt_id for one in claimed]
        transaction(self.ledger.engine, lambda c: c.execute(_DUE, {"ids": ids}))

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
)
