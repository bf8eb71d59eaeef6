"""No step is given up before its TTL is over, nor behind the back of a receipt in the inbox."""

from __future__ import annotations

import datetime as dt

from collections import defaultdict
from collections.abc import Iterator

from chaos.checker.evidence import Evidence
from chaos.checker.inbox import known_receipts
from chaos.checker.tables import Attempt, Change


# From a claim's time to its row in the history, from the row to the commit of a receipt, and from
# a change to the rest of its transaction.
_A_MOMENT = dt.timedelta(seconds=1)
_CALLED = frozenset({"unknown", "sent"})  # its TTL is running

Waiting = tuple[dt.datetime, dt.datetime | None]  # of a receipt: known since, applied at


def hasty_expiries(evidence: Evidence) -> Iterator[str]:
    """Expiries of called attempts by a decision of ours that came too soon."""
    waiting: dict[int, list[Waiting]] = defaultdict(list)
    told = set()  # by the provider itself that they have expired
    for receipt, attempt_id, known_since in known_receipts(evidence):
        waiting[attempt_id].append((known_since, receipt.applied_at))
        if receipt.status == "expired":
            told.add(attempt_id)
    for change in evidence.tables.changes:
        attempt = evidence.tables.attempts.get(change.attempt_id or 0)
        if attempt is None or attempt.id in told or not _is_expiry(change):
            continue
        early = _before_its_time(evidence, attempt, change.at)
        if early > dt.timedelta():
            yield f"attempt {attempt.id}: expired {early.total_seconds():.1f} s before its time"
        elif any(_is_ignored(one, change.at, evidence) for one in waiting[attempt.id]):
            yield f"attempt {attempt.id}: expired, with a receipt of it in the inbox"


def _is_expiry(change: Change) -> bool:
    return change.old in _CALLED and change.new == "expired"


def _before_its_time(evidence: Evidence, attempt: Attempt, at: dt.datetime) -> dt.timedelta:
    """How much of the TTL was left, which ends with the message's deadline.

    By the time that the product noted, and about by the one at which its note was seen.
    """
    ttl = dt.timedelta(seconds=attempt.ttl)
    ends = []
    if attempt.started_at is not None:
        ends.append(attempt.started_at + ttl)
    if attempt.begun_at is not None:
        ends.append(attempt.begun_at + ttl - _A_MOMENT)
    deadline = evidence.tables.messages[attempt.message_id].deadline
    return max((min(end, deadline) - at for end in ends), default=dt.timedelta())


def _is_ignored(receipt: Waiting, at: dt.datetime, evidence: Evidence) -> bool:
    known_since, applied_at = receipt
    applied_at = applied_at or evidence.tables.read_at
    return known_since + _A_MOMENT < at < applied_at - _A_MOMENT
