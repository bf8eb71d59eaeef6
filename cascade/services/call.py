"""Telling callers: their own tasks are called for the events that they want to hear of."""

from __future__ import annotations

import logging
import time

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from cascade.callbacks.brokers import CallbackBrokers, Told, unreachable
from cascade.domain.callback import Callback
from cascade.services.deployment import SETTLE_PATIENCE, Ledger, seconds
from cascade.storage.database import transaction
from cascade.storage.events import Outcome, claim_callbacks, settle_callbacks
from cascade.storage.sweep import begin


log = logging.getLogger(__name__)

PAUSE = seconds(0.9)  # two beats, a second apart each, make one run a second
WORKING = 10.0  # seconds after which a run leaves the rest to the next one
SET = 500  # callbacks that are claimed at once
LEASE = seconds(60.0)  # above the task's hard time limit: nobody publishes without his lease

# Seconds after each failed try; after one more it is given up: ten tries in about 19 hours.
PAUSES = (5, 30, 120, 600, 1800, 3600, 7200, 18_000, 36_000)


def call(ledger: Ledger, brokers: CallbackBrokers, *, working: float = WORKING) -> Counter[str]:
    """Tells what is due, at least once each and in order per message; counts what it did.

    A broker that cannot be reached is waited for once; all that it should be told has failed.
    After `working` seconds no further broker is tried: its calls are put back, uncounted.
    """
    tally: Counter[str] = Counter()
    if not transaction(ledger.engine, lambda c: begin(c, "call", PAUSE)):
        tally["second"] = 1
        return tally
    stop_at = time.monotonic() + working
    away: set[str] = set()
    while time.monotonic() < stop_at and (claimed := _claim(ledger)):
        tally["claimed"] += len(claimed)
        for broker, callbacks in _by_broker(claimed).items():
            if time.monotonic() >= stop_at:
                told = Told()
            elif broker in away:
                told = unreachable(callbacks)
            else:
                told = brokers.tell(broker, callbacks, stop_at=stop_at)
            if not told.is_reachable:
                away.add(broker)
            _settle(ledger, callbacks, told, tally)
    return tally


def _claim(ledger: Ledger) -> list[Callback]:
    return transaction(ledger.engine, lambda c: claim_callbacks(c, SET, lease=LEASE))


def _by_broker(callbacks: Sequence[Callback]) -> Mapping[str, list[Callback]]:
    found: dict[str, list[Callback]] = defaultdict(list)
    for one in callbacks:
        found[one.to.broker].append(one)
    return found


def _settle(
    ledger: Ledger, callbacks: Sequence[Callback], told: Told, tally: Counter[str]
) -> None:
    outcomes = [_outcome(one, told) for one in callbacks]
    given_up = transaction(
        ledger.engine, lambda c: settle_callbacks(c, outcomes), patience=SETTLE_PATIENCE
    )
    if given_up:
        log.error("callers will not be told", extra={"event_ids": given_up})
    tally["told"] += len(told.told)
    tally["failed"] += len(told.failed)
    tally["given_up"] += len(given_up)


def _outcome(callback: Callback, told: Told) -> Outcome:
    if callback.event_id in told.told:
        return Outcome(callback=callback, was_told=True)
    if callback.event_id in told.failed:
        return Outcome(callback=callback, pause=_pause(callback.tries))
    return Outcome(callback=callback, was_tried=False, pause=PAUSES[0])


def _pause(tries: int) -> float | None:
    return PAUSES[tries - 1] if tries <= len(PAUSES) else None
