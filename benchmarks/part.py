"""What a part of the benchmark is: how it starts, and what its figures should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sample import Sample


Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure should be: `goal`, and at the worst `floor`; at least, or at most."""

    figure: str
    goal: float
    floor: float | None = None
    at_least: bool = True
    unit: str = ""

    def is_met(self, value: float) -> bool:
        """Whether it is what it should be."""
        return self._is_within(value, self.goal)

    def is_tolerable(self, value: float) -> bool:
        """Whether it is above the floor."""
        return self._is_within(value, self.goal if self.floor is None else self.floor)

    def _is_within(self, value: float, bound: float) -> bool:
        return value >= bound if self.at_least else value <= bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A part that is ready: its broker, what takes one sample, and what is compared with it."""

    broker_url: str
    sample: Callable[[], Sample]
    baseline: Callable[[Path], AbstractContextManager[Callable[[], Sample]]] | None = None  # R0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`things` are what its rate counts; `runs` are as many as make sense, however many are asked."""

    name: str
    what: str
    things: str
    goals: Sequence[Goal]
    start: Callable[[Path, Say], AbstractContextManager[Started]]
    runs: int | None = None


def ratio(goal: float, floor: float | None = None) -> Goal:
    """At least this many times the rate of empty tasks."""
    return Goal(figure="ratio", goal=goal, floor=floor, unit="× R0")


def cpu(goal: float, floor: float | None = None) -> Goal:
    """At most this share of an empty task's CPU."""
    return Goal(figure="cpu", goal=goal, floor=floor, at_least=False, unit="of a task's CPU")
