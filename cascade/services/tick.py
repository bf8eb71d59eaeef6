"""The periodic look at everything that is due: hints again, retries, leases, expiries."""

from __future__ import annotations

import datetime as dt
import uuid

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cascade.domain.engine import RECEIPT_GRACE
from cascade.domain.state import Lane
from cascade.services.advance import Event, advance_all, expiries
from cascade.services.deployment import LEASE, Records, seconds
from cascade.storage.store import Transaction


PAUSE = dt.timedelta(milliseconds=900)  # two beats, a second apart each, make one tick a second
WORKING = 10.0  # seconds after which a tick leaves the rest to the next one
QUOTA = {Lane.URGENT: 2000, Lane.NORMAL: 2000, Lane.BULK: 1000}  # rows of a lane in one round
SET = 200  # messages that are locked at once
RARELY = 20  # times as long as a look at all that is due takes, until the lane's next one


def tick(ledger: Records, pollable: frozenset[str]) -> Counter[str]:
    """Takes the due rows of each lane, in rounds; returns counts for the task's result line.

    `pollable` are the accounts whose expiries wait for the answer of a poll.
    """
    tally: Counter[str] = Counter()
    lanes = ledger.store.transaction(_begin)
    if lanes is None:
        tally["second"] = 1
        return tally
    stop_at = ledger.monotonic() + WORKING
    look_at: dict[Lane, float] = {}
    while lanes:
        moved = _round(ledger, lanes, tally, look_at, pollable=pollable, stop_at=stop_at)
        if moved < min(QUOTA.values()) or ledger.monotonic() >= stop_at:
            break
        # A more urgent lane may be due by now.
        lanes = ledger.store.transaction(lambda transaction: transaction.due_lanes())
    return tally


def _begin(transaction: Transaction) -> Sequence[Lane] | None:
    """The lanes in which something is due; None if it is not this tick's turn."""
    return transaction.due_lanes() if transaction.begin("tick", PAUSE) else None


def _round(
    ledger: Records,
    lanes: Sequence[Lane],
    tally: Counter[str],
    look_at: dict[Lane, float],
    *,
    pollable: frozenset[str],
    stop_at: float,
) -> int:
    """The lanes in turn, a quota of each; how many attempts were expired or postponed.

    What is due and cannot be taken now does not count, so it is not looked at again at once.
    """
    before = tally["expired"] + tally["postponed"]
    for lane in lanes:
        begun = ledger.monotonic()
        if begun >= look_at.get(lane, begun) and not _look(ledger, lane, tally):
            look_at[lane] = begun + (1 + RARELY) * (ledger.monotonic() - begun)
        _expire(ledger, lane, tally, pollable=pollable, stop_at=stop_at)
    return tally["expired"] + tally["postponed"] - before


def _look(ledger: Records, lane: Lane, tally: Counter[str]) -> bool:
    """Whatever is due but expiries; returns whether there may be more of it.

    To find the last, it reads all that is due in the lane: much when a campaign's TTL is over.
    """
    found = Counter(
        queued=_requeue(ledger, lane),
        postponed=_postpone(ledger, lane),
        broken=_break_leases(ledger, lane),
    )
    tally.update(found)
    return max(found.values()) >= QUOTA[lane]


def _requeue(ledger: Records, lane: Lane) -> int:
    hints = ledger.store.transaction(lambda transaction: transaction.requeue(lane, QUOTA[lane]))
    ledger.publish(hints)
    return len(hints)


def _postpone(ledger: Records, lane: Lane) -> int:
    return ledger.store.transaction(lambda transaction: transaction.postpone(lane, QUOTA[lane]))


def _break_leases(ledger: Records, lane: Lane) -> int:
    return ledger.store.transaction(
        lambda transaction: transaction.break_leases(
            lane, QUOTA[lane], lease=seconds(LEASE), grace=RECEIPT_GRACE
        )
    )


def _expire(
    ledger: Records,
    lane: Lane,
    tally: Counter[str],
    *,
    pollable: frozenset[str],
    stop_at: float,
) -> None:
    due = ledger.store.transaction(
        lambda transaction: transaction.expired(lane, QUOTA[lane], pollable=pollable)
    )
    by_message = expiries(due)
    messages = sorted(by_message)
    for start in range(0, len(messages), SET):
        # The first set is taken however late it is: a lane must not starve behind slow ones.
        if start and ledger.monotonic() >= stop_at:
            return
        events = {one: by_message[one] for one in messages[start : start + SET]}
        _expire_set(ledger, events, tally)


def _expire_set(
    ledger: Records, events: Mapping[uuid.UUID, list[Event]], tally: Counter[str]
) -> None:
    # Receipts may have come since the candidates were read: those are heard first.
    advanced = advance_all(ledger, events, skip_locked=True, spare=_awaiting)
    ledger.publish(advanced.hints)
    tally["expired"] += advanced.expired
    tally["opened"] += len(advanced.hints)
    tally["ended"] += advanced.ended


def _awaiting(transaction: Transaction, message_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    return transaction.awaiting(message_ids)
