"""What was seen a moment ago."""

from __future__ import annotations

import time

from collections.abc import Hashable


class Recent:
    """Remembers keys for `seconds`; older ones are forgotten as new ones come."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[Hashable, float] = {}  # in order of time

    def is_new(self, key: Hashable) -> bool:
        """Whether `key` was not seen lately; it is seen now."""
        now = time.monotonic()
        self._forget(now - self._seconds)
        if key in self._seen:
            return False
        self._seen[key] = now
        return True

    def forget(self, key: Hashable) -> None:
        """Makes `key` new again."""
        self._seen.pop(key, None)

    def _forget(self, before: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest] >= before:
                return
            del self._seen[oldest]
