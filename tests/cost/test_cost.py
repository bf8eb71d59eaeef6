"""What 1,000 messages ask of the database and the broker, which is what they cost.

They go the way of `make bench PART=engine`: 60 % are delivered on the first channel, the others on
the second. Rates and CPU seconds differ from machine to machine; these counts do not. Whoever needs
more raises a bound here, and says what for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pytest

from celery import Celery
from sqlalchemy import Engine, text
from typing_extensions import override

from benchmarks import crowd
from benchmarks.in_process import InProcess, InProcessTransport, accounts, receipts_for
from cascade.channels.base import HttpRequest, Item, Pending
from cascade.channels.threaded import ThreadedTransport
from cascade.client import Cascade
from cascade.dispatch import Dispatcher, lane_queue, producer_app, queue
from cascade.domain.state import Channel, Lane
from cascade.services.collect import collect
from cascade.services.deliver import deliver
from cascade.services.deployment import Deployment, Ledger
from cascade.services.poll import poll, pollable_accounts
from cascade.services.tick import tick
from cascade.storage.database import transaction
from cascade.storage.inbox import NewReceipt, store
from tests.cost.meter import Meter, metered


pytestmark = pytest.mark.integration

MESSAGES = 1000
TOGETHER = 100  # webhooks that share a commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The most that a phase may take; `rows`, which are written, by table."""

    statements: int
    commits: int
    broker_messages: int = 0
    rows: Mapping[str, int]

    def counts(self) -> Mapping[str, int]:
        """By the meter's words."""
        return {
            "statements": self.statements,
            "commits": self.commits,
            "broker messages": self.broker_messages,
            **{f"rows of {table}": count for table, count in self.rows.items()},
        }


# Each process reads a policy and the rates once: a statement each in `enqueue`, `settle`, `collect`.
BOUNDS = {
    # one transaction: the time, the policy, one INSERT for all; 500 ids in a hint
    "enqueue": Bound(
        statements=3, commits=1, broker_messages=2, rows={"messages": 1000, "attempts": 1000}
    ),
    # one UPDATE for each of four hints: twice 500 attempts, and twice 200 on the second channel
    "claim": Bound(statements=4, commits=4, rows={"attempts": 1400}),
    # four times one UPDATE of what was accepted; twice the 200 that move on: messages and attempts
    # are locked, the time read, attempts ended and opened at once, and one hint published
    "settle": Bound(statements=13, commits=6, broker_messages=2, rows={"attempts": 1800}),
    # one INSERT for webhooks that come together
    "store": Bound(statements=10, commits=10, rows={"receipts": 1000}),
    # two sets of 500: taken, matched, messages held, the time, attempts, messages with events, rates
    # looked after, charges, receipts; and a look that finds no more
    "collect": Bound(
        statements=20,
        commits=3,
        rows={
            "attempts": 1000,
            "messages": 1000,
            "events": 1000,
            "charges": 1000,
            "receipts": 1000,
        },
    ),
    # a look into the inbox
    "idle collect": Bound(statements=1, commits=1, rows={}),
    # its turn, and the lanes in which something is due, which are none
    "idle tick": Bound(statements=2, commits=1, rows={"ticks": 1}),
    # its turn, what is unanswered, what is unconfirmed, and its turn given back
    "idle poll": Bound(statements=6, commits=4, rows={"ticks": 2}),
}


class Wire(InProcessTransport):
    """Each hint is one flight here: what comes before its calls claims, what comes after settles."""

    def __init__(self, ledger: Ledger, meter: Meter) -> None:
        self.adapters = accounts()
        self.inbox: list[NewReceipt] = []
        self._keyring = ledger.keyring
        self._meter = meter
        super().__init__(self.adapters, self._deliver)

    @override
    def submit(self, request: HttpRequest[Item], *, start_by: float | None = None) -> None:
        self._meter.phase = "settle"
        super().submit(request, start_by=start_by)

    def _deliver(self, adapter: InProcess, item: Item) -> None:
        self.inbox += receipts_for(self._keyring, adapter, item)


@pytest.fixture
def app(broker_url: str) -> Celery:
    """A broker where no hint waits on either channel."""
    app = producer_app(broker_url)
    for channel in (Channel.VK, Channel.OK):
        hints(app, channel)
    return app


def hints(app: Celery, channel: Channel) -> list[list[int]]:
    """The attempt ids in each hint that waits for the channel's worker, who takes them."""
    with app.connection_for_read() as connection:
        waiting = queue(lane_queue(channel, Lane.NORMAL))(connection.channel())
        waiting.declare()
        return [one.payload[0][0] for one in iter(lambda: waiting.get(no_ack=True), None)]


def send(ledger: Ledger) -> None:
    sent = Cascade(ledger).send_many(crowd.rows(MESSAGES), text=crowd.TEXT)
    assert not sent.errors


def call(deployment: Deployment, app: Celery, channel: Channel, meter: Meter) -> None:
    for ids in hints(app, channel):
        with meter.of("claim"):
            deliver(deployment, channel, Lane.NORMAL, ids, clock=lambda: 0.0)


def keep(ledger: Ledger, inbox: Sequence[NewReceipt]) -> None:
    for at in range(0, len(inbox), TOGETHER):
        some = inbox[at : at + TOGETHER]
        transaction(ledger.engine, partial(store, receipts=some))


def take_through(ledger: Ledger, app: Celery, meter: Meter) -> None:
    """From `send_many` to the charges; then a look at what is due, which is nothing."""
    wire = Wire(ledger, meter)
    polling = ThreadedTransport[Pending](flight=1)
    deployment = Deployment(
        ledger=ledger, adapters=wire.adapters, transport=wire, poll_transport=polling
    )
    with meter.of("enqueue"):
        send(ledger)
    call(deployment, app, Channel.VK, meter)
    call(deployment, app, Channel.OK, meter)
    with meter.of("store"):
        keep(ledger, wire.inbox)
    with meter.of("collect"):
        collect(ledger)
    with meter.of("idle collect"):
        collect(ledger)
    with meter.of("idle tick"):
        tick(ledger, pollable_accounts(deployment))
    with meter.of("idle poll"):
        poll(deployment)


def too_much(found: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What is over its bound, and by how much; a phase or table without one has none to spend."""
    return [
        f"{phase}: {count} {what}, at most {bound}"
        for phase, counts in found.items()
        for what, count in counts.items()
        if count > (bound := BOUNDS[phase].counts().get(what, 0))
    ]


def test_a_thousand_messages_take_no_more_than_this(ledger: Ledger, app: Celery, engine: Engine):
    ledger = replace(ledger, publish=Dispatcher(app).publish)
    with metered(engine) as meter:
        take_through(ledger, app, meter)

    over = too_much(meter.counts)
    assert not over, "\n".join(over)
    with engine.begin() as connection:
        books = "SELECT count(*), (SELECT count(*) FROM cascade.attempts) FROM cascade.charges"
        assert tuple(connection.execute(text(books)).one()) == (1000, 1400)


def test_what_is_too_much_is_told_with_its_phase_its_count_and_its_bound():
    within = {one: bound.counts() for one, bound in BOUNDS.items()}

    assert too_much(within) == []
    assert too_much(within | {"claim": {"statements": 5, "rows of events": 1}}) == [
        "claim: 5 statements, at most 4",
        "claim: 1 rows of events, at most 0",
    ]
