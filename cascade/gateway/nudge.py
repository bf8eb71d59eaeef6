"""Asking for the inbox to be emptied at once, instead of at beat's next second.

It is a hint and nothing waits for it: beat asks every second whatever happens here.
"""

from __future__ import annotations

import logging
import threading
import time

from collections.abc import Callable
from typing import Self


log = logging.getLogger(__name__)

PAUSE = 0.1  # seconds between two of them,
BUSY = 8  # and as long again where there were so many commits meanwhile: larger sets cost less
EXPIRES = 60.0  # seconds after which one is worth nothing: beat has asked meanwhile
SILENCE = 60.0  # seconds between two lines about the same broker


class Nudge:
    """Sends from a thread of its own: at once after a quiet time, then once a `pause` at most; every
    second pause on a busy gateway.
    """

    def __init__(self, send: Callable[[], object], *, pause: float = PAUSE) -> None:
        """`send` publishes the hint; it may block, and raise what it likes."""
        self._send = send
        self._pause = pause
        self._wanted = threading.Event()
        self._commits = 0  # since the last one
        self._stopped = threading.Event()
        self._silent_until = 0.0
        self._thread = threading.Thread(target=self._run, name="nudge", daemon=True)

    def __call__(self) -> None:
        """Asks for one; returns at once, in any thread."""
        self._commits += 1
        self._wanted.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the thread without waiting for it: it may hang at the broker."""
        self._stopped.set()
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._stopped.is_set():
                return
            self._wanted.clear()
            self._commits = 0
            self._try()
            self._stopped.wait(self._pause)
            if self._commits >= BUSY:
                self._stopped.wait(self._pause)

    def _try(self) -> None:
        try:
            self._send()
        except Exception as error:  # noqa: BLE001  # the thread must live on, and beat asks anyway
            if time.monotonic() >= self._silent_until:
                log.warning("the collector was not nudged: %s", type(error).__name__)
                self._silent_until = time.monotonic() + SILENCE
