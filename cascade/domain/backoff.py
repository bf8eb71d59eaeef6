"""How long to wait before trying again."""

from __future__ import annotations


_FIRST = 1.0  # seconds
_LONGEST = 60.0  # seconds
_DOUBLINGS = 6  # reach the longest pause; a thousand would be too much for a float


def pause(tries: int, *, retry_after: float | None, jitter: float) -> float:
    """Seconds until try number `tries + 1`: doubling from 1 s to 60 s.

    `jitter` (0 … 1) spreads a crowd over the second half of the pause. A provider's `retry_after`
    is never undercut.
    """
    doublings = min(max(tries - 1, 0), _DOUBLINGS)
    doubling = min(_LONGEST, _FIRST * 2.0**doublings)
    spread = doubling * (0.5 + 0.5 * jitter)
    return max(spread, retry_after or 0.0)
