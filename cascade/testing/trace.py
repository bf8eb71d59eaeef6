"""What happened in a simulation, line by line: the same seed writes the same bytes."""

from __future__ import annotations

import hashlib

from collections.abc import Callable

from cascade.testing.clock import VirtualClock


_SET = 1000  # lines


class Trace:
    """Lines `seconds event`, without phone numbers and texts."""

    def __init__(self, clock: VirtualClock, write: Callable[[str], object] | None = None) -> None:
        """`write` is given each line with its newline; without it only the digest is kept."""
        self._clock = clock
        self._write = write
        self._hash = hashlib.blake2b(digest_size=16)
        self._waiting: list[str] = []  # for the hash: in sets, it costs little

    def note(self, event: str) -> None:
        line = f"{self._clock.monotonic():.6f} {event}\n"
        self._waiting.append(line)
        if len(self._waiting) == _SET:
            self._digest()
        if self._write is not None:
            self._write(line)

    @property
    def digest(self) -> str:
        """Stands for all lines so far."""
        self._digest()
        return self._hash.hexdigest()

    def _digest(self) -> None:
        self._hash.update("".join(self._waiting).encode())
        self._waiting.clear()
