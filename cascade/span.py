"""A part of a message's trace, and what takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that happened to a message; times in nanoseconds since 1970."""

    name: str
    trace_id: int
    id: int | None = None  # None: any
    parent: int | None  # None: the root
    start: int
    end: int
    attributes: Mapping[str, str | int | bool]


class Recorder(Protocol):
    """Where spans go."""

    def record(self, span: Span) -> None:
        """Takes one span; must neither block nor raise."""

    def close(self) -> None:
        """Sends what it still holds."""
