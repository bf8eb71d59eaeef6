"""No state steps back, but for the two ways of a retry and the late delivery of a message."""

from __future__ import annotations

from collections.abc import Iterator

from chaos.checker.evidence import Evidence
from chaos.checker.tables import Change


_RETRIES = frozenset({("sending", "retry"), ("unknown", "retry"), ("retry", "queued")})
_OF_MESSAGES = frozenset(
    {
        ("in_progress", "delivered"),
        ("in_progress", "undelivered"),
        ("in_progress", "cancelled"),
        ("undelivered", "delivered"),
    }
)


def backward(evidence: Evidence) -> Iterator[str]:
    """Changes of a state that the guarantees do not know."""
    ranks = {state: rank for rank, state in enumerate(evidence.tables.attempt_states)}
    for change in evidence.tables.changes:
        if not _is_allowed(change, ranks):
            what = "message" if change.attempt_id is None else "attempt"
            one = change.message_id if change.attempt_id is None else change.attempt_id
            yield f"{what} {one}: {change.old} -> {change.new} at {change.at:%H:%M:%S.%f}"


def _is_allowed(change: Change, ranks: dict[str, int]) -> bool:
    step = (change.old, change.new)
    if change.attempt_id is None:
        return step in _OF_MESSAGES
    return ranks[change.old] < ranks[change.new] or step in _RETRIES
