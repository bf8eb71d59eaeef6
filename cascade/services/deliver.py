"""Delivering a hint's attempts: line up, claim, call the provider, settle what comes back.

Slots are refilled as calls end and results are settled as they come, so that one silent answer
holds up nobody. No transaction is open while a provider is called.
"""

from __future__ import annotations

import logging
import time

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cascade import tracing
from cascade.channels.base import Result
from cascade.domain.hint import Hint
from cascade.domain.state import Channel, Lane
from cascade.services.admit import admit
from cascade.services.deployment import LEASE, Deployment
from cascade.services.flight import Flight
from cascade.services.halving import halved
from cascade.services.settle import settle
from cascade.storage.claim import Claimed
from cascade.storage.database import is_passing


log = logging.getLogger(__name__)

CLAIMING = 10.0  # seconds for which a task claims; then it publishes the rest again
SETTLE_WITHIN = 0.5  # seconds that a result waits for others at most
SETTLE_SET = 100  # results that are settled without waiting for more
HINT_WITHIN = 0.25  # seconds that a step which was opened waits for others, to share their hint
LOOK = 0.1  # seconds between looks at the clock while calls are silent


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
    admitted = admit(deployment, channel, lane, attempt_ids)
    deployment.ledger.publish(admitted.hints)
    waiting = deque(admitted.attempt_ids)
    flight = Flight(deployment)
    landed, opened = _Landed(clock), _Opened(deployment, clock)
    tally = Counter(claimed=0)
    tally.update(admitted.counts)
    stop_at = clock() + CLAIMING
    try:
        while landed.results or not flight.is_over or (waiting and clock() < stop_at):
            if waiting and (now := clock()) < stop_at:
                # What providers answer to calls already made matters more than new claims.
                able = _launch(deployment, flight, channel, waiting, now=now)
                stop_at = stop_at if able else now
            landed.add(flight.land(LOOK))
            if landed.is_ripe or flight.is_over:
                tally.update(_settle(deployment, channel, landed.take(), opened))
            if opened.is_ripe:
                opened.publish()
    finally:
        tally.update(_ground(deployment, channel, flight, landed, opened))
    tally["claimed"] = flight.launched
    if waiting:
        rest = (Hint(channel, lane, attempt_id) for attempt_id in waiting)
        tally["republished"] += deployment.ledger.publish(rest)
    return tally


@dataclass(slots=True)
class _Landed:
    """Results that wait to be settled together."""

    clock: Callable[[], float]
    results: list[tuple[Claimed, Result]] = field(default_factory=list)
    since: float = 0.0

    @property
    def is_ripe(self) -> bool:
        """Whether they should wait no longer for others."""
        if not self.results:
            return False
        return len(self.results) >= SETTLE_SET or self.clock() >= self.since + SETTLE_WITHIN

    def add(self, more: Sequence[tuple[Claimed, Result]]) -> None:
        if more and not self.results:
            self.since = self.clock()
        self.results += more

    def take(self) -> list[tuple[Claimed, Result]]:
        taken, self.results = self.results, []
        return taken


@dataclass(slots=True)
class _Opened:
    """Hints of steps that were opened. A hint for each set of results would be a task for a few
    attempts, as long as their slowest call.
    """

    deployment: Deployment
    clock: Callable[[], float]
    hints: list[Hint] = field(default_factory=list)
    since: float = 0.0

    @property
    def is_ripe(self) -> bool:
        """Whether they should wait no longer for others."""
        return bool(self.hints) and self.clock() >= self.since + HINT_WITHIN

    def add(self, more: Sequence[Hint]) -> None:
        if more and not self.hints:
            self.since = self.clock()
        self.hints += more

    def publish(self) -> None:
        hints, self.hints = self.hints, []
        self.deployment.ledger.publish(hints)


def _launch(
    deployment: Deployment, flight: Flight, channel: Channel, waiting: deque[int], *, now: float
) -> bool:
    """Claims as many as there is room for, and calls their providers.

    False if the database cannot now; the ids wait on, then.
    """
    room = min(flight.room(channel), len(waiting))
    if not room:
        return True
    ids = [waiting.popleft() for _ in range(room)]
    try:
        claimed = _claim(deployment, ids)
    except Exception as error:
        if not is_passing(error):
            raise
        log.warning("attempts could not be claimed: %s", type(error).__name__)
        waiting.extendleft(reversed(ids))
        return False
    tracing.calling(claimed)
    flight.launch(claimed, claiming_at=now)
    return True


def _claim(deployment: Deployment, attempt_ids: Sequence[int]) -> list[Claimed]:
    """One that cannot be claimed stops no other; the tick tries it again, ever more rarely."""
    store = deployment.ledger.store
    parts = halved(
        attempt_ids,
        lambda ids: store.transaction(lambda transaction: transaction.claim(ids, lease=LEASE)),
        _blame,
    )
    return [claimed for part in parts for claimed in part]


def _blame(attempt_id: int, error: Exception) -> None:
    log.error(
        "an attempt cannot be claimed: %s", type(error).__name__, extra={"attempt_id": attempt_id}
    )


def _ground(
    deployment: Deployment, channel: Channel, flight: Flight, landed: _Landed, opened: _Opened
) -> Counter[str]:
    """Whatever has happened: what providers have said, and are about to say, is settled."""
    try:
        landed.add(flight.ground())
        return _settle(deployment, channel, landed.take(), opened)
    finally:
        opened.publish()


def _settle(
    deployment: Deployment,
    channel: Channel,
    landed: Sequence[tuple[Claimed, Result]],
    opened: _Opened,
) -> Counter[str]:
    """Commits the results; returns counts by outcome."""
    if not landed:
        return Counter()
    tracing.answered(channel, landed)
    settled = settle(deployment, landed)
    opened.add(settled.hints)
    settled.counts["opened"] = len(settled.hints)
    return settled.counts
