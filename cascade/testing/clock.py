"""The time of a simulation: it moves only when somebody moves it."""

from __future__ import annotations

import datetime as dt


START = dt.datetime(2026, 6, 1, 9, tzinfo=dt.UTC)  # a Monday; the rates of `config/` are in force


class VirtualClock:
    """Shared time (`now`, aware) and every process's own (`monotonic`, seconds) in one."""

    def __init__(self, start: dt.datetime = START) -> None:
        self.start = start
        self.now = start

    def monotonic(self) -> float:
        """Seconds since the start."""
        return (self.now - self.start).total_seconds()

    def advance(self, seconds: float) -> None:
        """Moves the time forward; raises ValueError for a step back."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self.now += dt.timedelta(seconds=seconds)
