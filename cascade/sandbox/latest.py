"""What a provider answers when it is asked about a message."""

from __future__ import annotations

import datetime as dt

from cascade.sandbox.timeline import Fate


_RANKS = {fate: rank for rank, fate in enumerate(Fate)}


class Latest:
    """The highest fate of each message that was told of, and its time."""

    def __init__(self) -> None:
        self._fates: dict[str, tuple[Fate, dt.datetime]] = {}

    def hear(self, ref: str, fate: Fate, at: dt.datetime) -> None:
        """Notes `fate`, unless a higher one is known."""
        known = self._fates.get(ref)
        if known is None or _RANKS[fate] >= _RANKS[known[0]]:
            self._fates[ref] = (fate, at)

    def of(self, ref: str) -> tuple[Fate, dt.datetime] | None:
        """What is known of `ref`, or None."""
        return self._fates.get(ref)
