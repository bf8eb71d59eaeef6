"""Draining the inbox: receipts join their attempts, deliveries are charged, steps open."""

from __future__ import annotations

import logging
import time
import uuid

from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection

from cascade import tracing
from cascade.domain.engine import Word
from cascade.services.advance import Advanced, Event, advance, hearing
from cascade.services.deployment import Ledger
from cascade.storage import inbox
from cascade.storage.database import is_passing, transaction


log = logging.getLogger(__name__)

SET = 500  # receipts in one transaction
WORKING = 10.0  # seconds after which a task leaves the rest to the next one


def collect(ledger: Ledger) -> Counter[str]:
    """Applies due receipts in sets, until none is left or the time is over; counts what it did."""
    total: Counter[str] = Counter()
    stop_at = time.monotonic() + WORKING
    quota = SET
    while time.monotonic() < stop_at:
        taken = _collect_set(ledger, total, quota)
        if taken is None:  # the set as a whole failed: halve it down to the culprit
            quota = max(1, quota // 2)
        elif taken < quota:
            break
        else:
            quota = min(SET, quota * 2)
    return total


def _collect_set(ledger: Ledger, total: Counter[str], quota: int) -> int | None:
    """How many receipts were taken; None if applying them failed."""
    taken: list[int] = []

    def work(connection: Connection) -> tuple[list[inbox.Unapplied], Advanced]:
        taken[:] = inbox.take(connection, quota)
        return _apply(connection, ledger, taken)

    try:
        known, advanced = transaction(ledger.engine, work)
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
    tracing.heard(known, advanced.after, advanced.at)
    tracing.moved(advanced.before, advanced.after)
    total["applied"] += len(known)
    total["orphans"] += len(taken) - len(known)
    total["delivered"] += advanced.delivered
    total["ended"] += advanced.ended
    total["opened"] += len(advanced.hints)
    return len(taken)


def _apply(
    connection: Connection, ledger: Ledger, receipt_ids: Sequence[int]
) -> tuple[list[inbox.Unapplied], Advanced]:
    """The receipts whose attempts are known, and what came of them."""
    taken = inbox.match(connection, receipt_ids)
    known = [one for one in taken if one.attempt_id is not None]
    orphans = [one.id for one in taken if one.attempt_id is None]
    advanced = advance(connection, ledger, _events(known))
    inbox.mark_applied(
        connection, {one.id: one.attempt_id for one in known if one.attempt_id is not None}
    )
    if orphans and inbox.defer(connection, orphans):
        log.error(
            "among these receipts without an attempt, some wait in vain",
            extra={"receipt_ids": orphans},
        )
    return known, advanced


def _events(receipts: Sequence[inbox.Unapplied]) -> dict[uuid.UUID, list[Event]]:
    events = defaultdict(list)
    for one in receipts:
        if one.attempt_id is not None and one.message_id is not None:
            word = Word(attempt_id=one.attempt_id, state=one.status, code=one.code)
            events[one.message_id].append(hearing(word))
    return events


def _defer_culprit(ledger: Ledger, culprit: Sequence[int]) -> int:
    log.error("a receipt cannot be applied", extra={"receipt_ids": culprit})
    return transaction(ledger.engine, lambda connection: inbox.defer(connection, culprit))
