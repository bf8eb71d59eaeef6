"""The processes of this machine, as Linux tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Alive:
    """One process: its pid alone may be given to another one."""

    pid: int
    started: int  # in ticks since the machine's start


def family(pid: int) -> set[Alive]:
    """A process and all that descend from it."""
    parents = dict(_processes())
    found = {one for one in parents if one.pid == pid}
    while more := {o for o, parent in parents.items() if parent in _pids(found)} - found:
        found |= more
    return found


def bearing(mark: str) -> set[Alive]:
    """Those whose environment or command line holds `mark`, wherever they come from."""
    return {one for one, _ in _processes() if mark in _words(one.pid)}


def alive(processes: set[Alive]) -> set[Alive]:
    """Those of `processes` that still run."""
    return processes & set(dict(_processes()))


def _pids(processes: set[Alive]) -> set[int]:
    return {one.pid for one in processes}


def _processes() -> Iterator[tuple[Alive, int]]:
    """Every process with its parent's pid, less those that have ended and are not buried yet."""
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            _, _, fields = (directory / "stat").read_text("utf-8", "replace").rpartition(")")
            state, parent, *rest = fields.split()
            if state not in {"Z", "X"}:
                yield Alive(int(directory.name), int(rest[17])), int(parent)


def _words(pid: int) -> str:
    said = ""
    for name in ("environ", "cmdline"):
        with suppress(OSError):
            said += Path(f"/proc/{pid}/{name}").read_text("utf-8", "replace")
    return said
