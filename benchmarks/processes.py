"""CPU seconds and memory of processes with all their children."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil


MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Tree:
    """A process and its children; those that have ended are counted in whoever waited for them."""

    pid: int

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return sum(_cpu_seconds(one) for one in self._members())

    def mebibytes(self) -> float:
        """Memory of its own. PostgreSQL's buffers, which it takes when it starts, are nobody's own."""
        return sum(_private(one) for one in self._members()) / MEBIBYTE

    def _members(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@dataclass(frozen=True, slots=True)
class Meter:
    """CPU seconds by group of processes since the meter was made."""

    groups: Mapping[str, Callable[[], float]]
    before: Mapping[str, float]

    @classmethod
    def start(cls, groups: Mapping[str, Callable[[], float]]) -> Meter:
        """`groups` name functions that tell CPU seconds so far."""
        return cls(groups, {name: read() for name, read in groups.items()})

    def read(self) -> dict[str, float]:
        """CPU seconds of each group since then."""
        return {name: read() - self.before[name] for name, read in self.groups.items()}


def server_pid(name: str) -> int:
    """The pid of a server that this process has started; raises LookupError."""
    for child in psutil.Process().children():
        if child.name() == name:
            return int(child.pid)
    raise LookupError(f"{name} does not run")


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _private(process: psutil.Process) -> float:
    """Bytes; a page of shared memory that only one process has touched is none of its own."""
    try:
        maps = process.memory_maps(grouped=False)
    except psutil.NoSuchProcess:
        return 0.0
    return float(
        sum(one.private_clean + one.private_dirty for one in maps if "s" not in one.perms)
    )
