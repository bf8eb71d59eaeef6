"""Something slow to read, such as a database, that must not hold up who asks for it."""

from __future__ import annotations

import logging
import threading

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar


log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 4.0  # seconds; Prometheus gives a scrape 10 s by default


class Source(Generic[T]):
    """Reads in a thread of its own, one reading at a time; whoever comes meanwhile shares it."""

    def __init__(self, name: str, read: Callable[[], T], *, patience: float = PATIENCE) -> None:
        self.name = name
        self._work = read
        self._patience = patience
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"metrics-{name}")
        self._lock = threading.Lock()
        self._reading: Future[T] | None = None

    def read(self) -> T | None:
        """What was read; None if that failed, or did not come in time."""
        try:
            return self._begun().result(self._patience)
        except Exception as error:  # noqa: BLE001  # the answer is the report
            log.warning("metrics: the %s cannot be read: %s", self.name, type(error).__name__)
            return None

    def _begun(self) -> Future[T]:
        with self._lock:
            if self._reading is None or self._reading.done():
                self._reading = self._pool.submit(self._work)
            return self._reading
