"""Delivering a hint's attempts: claim a flight, call the provider, settle what comes back.

Slots are refilled as calls end, so that one silent answer holds up nobody. No transaction is open
while a provider is called.
"""

from __future__ import annotations

import time

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cascade.channels.base import Adapter, HttpRequest, Item, Rejected, Result
from cascade.channels.exchange import requests_for, results
from cascade.domain.hint import Hint
from cascade.domain.message import body_for
from cascade.domain.state import Channel, Lane
from cascade.services.deployment import LEASE, Deployment
from cascade.services.sealed import open_content, open_recipient
from cascade.services.settle import Settled, settle
from cascade.storage.claim import Claimed, claim
from cascade.storage.database import transaction


CLAIMING = 10.0  # seconds for which a task claims; then it publishes the rest again
SETTLE_WITHIN = 0.5  # seconds that a result waits for others at most
SETTLE_SET = 100  # results that are settled at once without waiting
CLAIM_SET = 200  # attempts in one claim


@dataclass(slots=True)
class _Flight:
    """What is between claim and settlement in this process."""

    deployment: Deployment
    items: dict[int, Claimed] = field(default_factory=dict)  # being called, by attempt id
    results: list[tuple[Claimed, Result]] = field(default_factory=list)  # not settled yet
    oldest: float = 0.0  # monotonic time of the first of `results`
    tally: Counter[str] = field(default_factory=Counter)

    @property
    def is_empty(self) -> bool:
        return not self.items and not self.results

    def note(self, outcomes: Iterable[tuple[Claimed, Result]], now: float) -> None:
        for claimed, result in outcomes:
            if not self.results:
                self.oldest = now
            self.items.pop(claimed.attempt_id, None)
            self.results.append((claimed, result))

    def is_ripe(self, now: float) -> bool:
        """Whether the results should wait no longer."""
        if not self.results:
            return False
        full = len(self.results) >= SETTLE_SET
        return full or not self.items or now >= self.oldest + SETTLE_WITHIN


def deliver(
    deployment: Deployment,
    channel: Channel,
    lane: Lane,
    attempt_ids: Sequence[int],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Counter[str]:
    """Delivers what it can claim of `attempt_ids`; returns counts for the task's result line.

    Others' attempts, and those that are past, are passed by. What is not claimed within
    `CLAIMING` seconds is published again.
    """
    waiting = deque(attempt_ids)
    flight = _Flight(deployment)
    stop_at = clock() + CLAIMING
    try:
        while True:
            if waiting and clock() < stop_at:
                _launch(flight, channel, waiting, clock)
            if flight.is_empty and (not waiting or clock() >= stop_at):
                break
            _land(flight, clock)
    finally:
        _ground(deployment)
    if waiting:
        ledger = deployment.ledger
        flight.tally["republished"] += ledger.publish(Hint(channel, lane, one) for one in waiting)
    return flight.tally


def _launch(
    flight: _Flight, channel: Channel, waiting: deque[int], clock: Callable[[], float]
) -> None:
    """Claims as many as there are free slots for, and calls their providers."""
    room = _room(flight.deployment, channel)
    if room <= 0:
        return
    ids = [waiting.popleft() for _ in range(min(room, len(waiting)))]
    claimed = transaction(
        flight.deployment.ledger.engine,
        lambda connection: claim(connection, ids, room=len(ids), lease=LEASE),
    )
    flight.tally["claimed"] += len(claimed)
    for account in sorted({one.account for one in claimed}):
        _call(flight, account, [one for one in claimed if one.account == account], clock)


def _room(deployment: Deployment, channel: Channel) -> int:
    """How many attempts the free slots can carry; half the slots at least, to claim in sets."""
    transport = deployment.transport
    if transport.in_flight and transport.room < transport.flight // 2:
        return 0
    bulk = min(
        (a.capabilities.bulk for a in deployment.adapters.values() if a.channel == channel),
        default=1,
    )
    return min(CLAIM_SET, transport.room * bulk)


def _call(
    flight: _Flight, account: str, claimed: Sequence[Claimed], clock: Callable[[], float]
) -> None:
    adapter = flight.deployment.adapters.get(account)
    if adapter is None:
        missing = Rejected("unconfigured account")
        flight.note(((one, missing) for one in claimed), clock())
        return
    items: list[Item] = []
    for one in claimed:
        try:
            items.append(_item(flight.deployment, adapter, one))
        except Exception as error:  # noqa: BLE001  # one bad row must not stop its neighbours
            flight.note([(one, Rejected(f"unreadable:{type(error).__name__}"))], clock())
    by_id = {one.attempt_id: one for one in claimed}
    requests, refused = requests_for(adapter, items)
    flight.note(((by_id[one], result) for one, result in refused.items()), clock())
    for request in requests:
        _submit(flight, request, by_id)


def _submit(flight: _Flight, request: HttpRequest[Item], by_id: dict[int, Claimed]) -> None:
    for item in request.items:
        flight.items[item.attempt_id] = by_id[item.attempt_id]
    flight.deployment.transport.submit(request)


def _item(deployment: Deployment, adapter: Adapter, one: Claimed) -> Item:
    keyring = deployment.ledger.keyring
    content = open_content(keyring, one.message_id, one.content)
    return Item(
        attempt_id=one.attempt_id,
        client_ref=one.client_ref,
        phone=open_recipient(keyring, one.message_id, one.recipient),
        body=body_for(content, adapter.channel),
        ttl=_ttl(adapter, one),
    )


def _ttl(adapter: Adapter, one: Claimed) -> int:
    """The remaining seconds in the provider's own unit, rounded down, within its range."""
    able = adapter.capabilities
    whole = int(one.seconds_left) // able.ttl_step * able.ttl_step
    return min(max(whole, able.ttl_minimum, 1), able.ttl_maximum)


def _land(flight: _Flight, clock: Callable[[], float]) -> None:
    """Takes in the calls that have ended, and settles results once they are ripe."""
    adapters = flight.deployment.adapters
    if flight.items:
        for exchange in flight.deployment.transport.collect(SETTLE_WITHIN / 2):
            account = flight.items[exchange.request.items[0].attempt_id].account
            outcomes = results(adapters[account], exchange)
            flight.note(
                [(flight.items[item.attempt_id], result) for item, result in outcomes], clock()
            )
    if flight.is_ripe(clock()):
        settled = settle(flight.deployment, flight.results)
        flight.results = []
        _report(flight, settled)


def _ground(deployment: Deployment) -> None:
    """After a fault, waits out the calls in the air; their leases will break into `unknown`."""
    while deployment.transport.in_flight:
        deployment.transport.collect(SETTLE_WITHIN)


def _report(flight: _Flight, settled: Settled) -> None:
    flight.tally.update(settled.counts)
    flight.tally["opened"] += flight.deployment.ledger.publish(settled.hints)
