"""Following a message until it ends."""

from __future__ import annotations

import threading
import time

from collections.abc import Callable, Iterator

from cascade.domain.state import MessageState
from cascade.storage.status import MessageStatus


_PAUSE = 1.0  # seconds between two looks
_never = threading.Event()


def follow(
    look: Callable[[], MessageStatus],
    *,
    timeout: float,
    pause: Callable[[float], object] = _never.wait,
) -> Iterator[MessageStatus]:
    """What `look` sees, each second; ends with the message, or after `timeout` seconds."""
    until = time.monotonic() + timeout
    while True:
        status = look()
        yield status
        left = until - time.monotonic()
        if status.state is not MessageState.IN_PROGRESS or left <= 0:
            return
        pause(min(_PAUSE, left))
