from __future__ import annotations

import time

from collections.abc import Callable
from threading import Event
from typing import TypeVar


T = TypeVar("T")

LOOK_EVERY = 0.1  # seconds


def until(condition: Callable[[], T], *, seconds: float, what: str) -> T:
    """The first truthy answer of `condition`; raises TimeoutError that says what did not come."""
    stop_at = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > stop_at:
            raise TimeoutError(f"within {seconds:.0f} s: no {what}")
        Event().wait(LOOK_EVERY)
    return answer
