"""Draining the inbox: receipts join their attempts, deliveries are charged, steps open."""

from __future__ import annotations

import logging
import uuid

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cascade import tracing
from cascade.domain.engine import Word
from cascade.domain.state import AttemptState
from cascade.services.advance import Advanced, Event, advance, hearing
from cascade.services.charge import charge_all
from cascade.services.deployment import Records
from cascade.storage.database import is_passing
from cascade.storage.inbox import Unapplied
from cascade.storage.store import Transaction


log = logging.getLogger(__name__)

SET = 500  # receipts in one transaction
WORKING = 10.0  # seconds after which a task leaves the rest to the next one


def collect(ledger: Records) -> Counter[str]:
    """Applies due receipts in sets, until none is left or the time is over; counts what it did."""
    total: Counter[str] = Counter()
    stop_at = ledger.monotonic() + WORKING
    quota = SET
    while ledger.monotonic() < stop_at:
        taken = _collect_set(ledger, total, quota)
        if taken is None:  # the set as a whole failed: halve it down to the culprit
            quota = max(1, quota // 2)
        elif taken < quota:
            break
        else:
            quota = min(SET, quota * 2)
    return total


def _collect_set(ledger: Records, total: Counter[str], quota: int) -> int | None:
    """How many receipts were taken; None if applying them failed."""
    taken: list[int] = []

    def work(transaction: Transaction) -> tuple[_Sorted, Advanced]:
        taken[:] = transaction.take_receipts(quota)
        return _apply(transaction, ledger, taken)

    try:
        found, advanced = ledger.store.transaction(work)
    except Exception as error:
        if is_passing(error) or not taken:
            raise
        log.exception(
            "a set of %d receipts failed", len(taken), extra={"receipt_ids": list(taken)}
        )
        if len(taken) == 1:
            total["set_aside"] += _defer_culprit(ledger, taken)
        return None
    ledger.publish(advanced.hints)
    tracing.heard(found.known, advanced.after, advanced.at)
    tracing.moved(advanced.before, advanced.after)
    total["applied"] += len(found.known)
    total["orphans"] += len(found.orphans)
    total["unconfirmed"] += len(found.unconfirmed)
    total["delivered"] += advanced.delivered + len(found.concluded)
    total["ended"] += advanced.ended + len(found.concluded)
    total["opened"] += len(advanced.hints)
    return len(taken)


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Receipts by what is done with them."""

    known: Sequence[Unapplied] = ()  # to be applied
    orphans: Sequence[int] = ()  # no attempt is known
    unconfirmed: Sequence[int] = ()  # a poll must say the same first
    concluded: frozenset[int] = frozenset()  # attempts: ended with their messages, at once


def _apply(
    transaction: Transaction, ledger: Records, receipt_ids: Sequence[int]
) -> tuple[_Sorted, Advanced]:
    """Applies what can be applied; the rest waits."""
    if not receipt_ids:
        return _Sorted(), Advanced(hints=[])
    found = _sorted(transaction.match_receipts(receipt_ids))
    concluded = _conclude(transaction, ledger, found.known)
    rest = [one for one in found.known if one.attempt_id not in concluded]
    advanced = advance(transaction, ledger, _events(rest))
    transaction.mark_applied(
        {one.id: one.attempt_id for one in found.known if one.attempt_id is not None}
    )
    _defer(transaction, found.orphans, "receipts without an attempt")
    _defer(transaction, found.unconfirmed, "deliveries that no poll confirms")
    return replace(found, concluded=concluded), advanced


def _conclude(
    transaction: Transaction, ledger: Records, known: Sequence[Unapplied]
) -> frozenset[int]:
    """Ends the messages that a delivery plainly ends, which are most of them, and charges these
    attempts, which it returns.

    What was said twice is for the engine, and so is everything while messages are traced.
    """
    heard = Counter(one.message_id for one in known if one.message_id is not None)
    delivered = {
        one.attempt_id: one.message_id
        for one in known
        if one.status is AttemptState.DELIVERED
        and one.attempt_id is not None
        and one.message_id is not None
        and heard[one.message_id] == 1
    }
    if tracing.is_on() or not delivered:
        return frozenset()
    concluded = transaction.conclude(delivered, heard)
    charge_all(transaction, ledger, concluded)
    return frozenset(one.attempt_id for one in concluded)


def _sorted(taken: Sequence[Unapplied]) -> _Sorted:
    matched = [one for one in taken if one.attempt_id is not None]
    return _Sorted(
        known=[one for one in matched if not one.is_unconfirmed],
        orphans=[one.id for one in taken if one.attempt_id is None],
        unconfirmed=[one.id for one in matched if one.is_unconfirmed],
    )


def _defer(transaction: Transaction, receipt_ids: Sequence[int], what: str) -> None:
    if receipt_ids and transaction.defer_receipts(receipt_ids):
        log.error(
            "among these %s, some wait in vain", what, extra={"receipt_ids": list(receipt_ids)}
        )


def _events(receipts: Sequence[Unapplied]) -> dict[uuid.UUID, list[Event]]:
    events = defaultdict(list)
    for one in receipts:
        if one.attempt_id is not None and one.message_id is not None:
            word = Word(attempt_id=one.attempt_id, state=one.status, code=one.code)
            events[uuid.UUID(one.message_id)].append(hearing(word))
    return events


def _defer_culprit(ledger: Records, culprit: Sequence[int]) -> int:
    log.error("a receipt cannot be applied", extra={"receipt_ids": culprit})
    return ledger.store.transaction(lambda transaction: transaction.defer_receipts(culprit))
