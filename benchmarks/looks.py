"""Waiting for the end of a run: looking counts rows, which is work for the database that is measured."""

from __future__ import annotations

import time

from collections.abc import Callable
from threading import Event

from benchmarks.sample import VoidError


_SHORTEST, _LONGEST = 0.05, 0.5  # seconds between looks


def await_count(
    found: Callable[[], int], count: int, *, check: Callable[[], object], patience: float
) -> None:
    """Returns once `found()` is `count`; raises VoidError after `patience` seconds.

    The nearer it comes, the more often it looks. `check` raises if a process has died.
    """
    begun = time.monotonic()
    while (now := found()) < count:
        check()
        passed = time.monotonic() - begun
        if passed > patience:
            raise VoidError(f"{now} of {count} within {patience:.0f} s")
        Event().wait(_pause(passed, now / count))


def _pause(passed: float, done: float) -> float:
    """Half of what seems to be left."""
    left = passed * (1 - done) / done if done else _SHORTEST
    return min(max(left / 2, _SHORTEST), _LONGEST)
