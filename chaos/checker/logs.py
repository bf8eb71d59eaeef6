"""Unhandled exceptions: the tracebacks in the logs of the processes."""

from __future__ import annotations

import re

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from chaos.checker.json_lines import EvidenceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One traceback; of a chain of exceptions the last one, which nobody has caught."""

    process: str
    line: int
    kind: str  # the exception's type
    place: str  # the innermost frame of ours, or else the innermost
    words: str  # what the exception says; may hold anything, so it is never shown

    @property
    def expected(self) -> str | None:
        """Why a run with faults may log it; None if nothing excuses it."""
        for kind, words, reason in _EXPECTED:
            if re.fullmatch(kind, self.kind) and re.search(words, self.words):
                return reason
        return None

    @override
    def __str__(self) -> str:
        return f"{self.kind} in {self.place} ({self.process}.log:{self.line})"


# What libpq and PostgreSQL say when the connection is the trouble, not the statement. Deadlocks,
# refused rows and time-outs of locks are not among it.
_CONNECTION = (
    r"server closed the connection|connection to server .* failed|could not connect"
    r"|could not receive data|could not send data|connection already closed"
    r"|terminating connection|the database system is (starting up|shutting down|in recovery)"
    r"|the database system is not (yet )?accepting connections"
    r"|SSL SYSCALL error|Connection reset|Connection refused|Broken pipe|timeout expired"
    r"|connection not open|no connection to the server|connection is closed|server terminated"
    r"|lost synchronization with server|consuming input failed|EOF detected"
)
_BROKER = (
    r"Error (\d+ )?(connecting to|while (reading|writing))|Connection closed by server"
    r"|Timeout (reading|writing|connecting)|I/O operation on closed file"
    r"|Bad response from PING health check|Connection not ready"
    r"|is loading the dataset in memory"
)
# (type, words, reason): both are regular expressions.
_EXPECTED: Sequence[tuple[str, str, str]] = (
    (
        r"(sqlalchemy\.exc|psycopg2|psycopg2\.errors)\.\w+",
        _CONNECTION,
        "PostgreSQL was restarted or cut off; the tick finds the work that a task has left",
    ),
    (
        r"redis\.exceptions\.(ConnectionError|TimeoutError|BusyLoadingError)",
        "",
        "the broker was killed, stopped or cut off; Celery connects again, hints may be lost",
    ),
    (
        r"kombu\.exceptions\.OperationalError",
        "",
        "as above: kombu's name for every loss of the broker",
    ),
    (
        r"celery\.beat\.SchedulingError",
        _BROKER,
        "beat has lost the broker; it publishes again at the next turn",
    ),
    (
        r"AttributeError",
        r"^'NoneType' object has no attribute '(hostname|client)'$",
        "kombu has acknowledged a task over a lost connection; the worker lives on",
    ),
    (
        r"(ConnectionResetError|BrokenPipeError|ConnectionRefusedError)",
        "",
        "a socket to the broker was reset; Celery's consumer connects again",
    ),
    (
        r"billiard\.exceptions\.WorkerLostError",
        r"signal 9|SIGKILL",
        "the battery has killed a worker's child",
    ),
)

# What billiard puts around an exception of a child, whose own traceback follows.
_WRAPPERS = frozenset({"billiard.einfo.ExceptionWithTraceback", "billiard.pool.RemoteTraceback"})

_BEGIN = re.compile(r"^[\s|+]*(?:Exception Group )?Traceback \(most recent call last\):$")
_FRAME = re.compile(r'^[\s|]*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>.+)$')
_END = re.compile(r"^(?:\s*\| )?(?P<kind>[A-Za-z_][\w.]*)(?:: (?P<words>.*))?$")
_LINK = re.compile(r"^(During handling of the above|The above exception was the direct cause)")
_OURS = re.compile(r"/((?:cascade|workers|config)/\S+\.py)$")


def read_troubles(directory: Path) -> list[Trouble]:
    """Of all `*.log` files in it; raises EvidenceError if there is none."""
    files = sorted(directory.glob("*.log"))
    if not files:
        raise EvidenceError(f"{directory} has no logs")
    return [trouble for file in files for trouble in _troubles(file)]


def _troubles(file: Path) -> Iterator[Trouble]:
    lines = file.read_text("utf-8", errors="replace").splitlines()
    place = 0
    while place < len(lines):
        if _BEGIN.match(lines[place]):
            trouble, place = _read(file.stem, lines, place)
            if trouble.kind not in _WRAPPERS:
                yield trouble
        place += 1


def _read(process: str, lines: list[str], begin: int) -> tuple[Trouble, int]:
    """The traceback that begins there, with those that it is chained to, and where it ends."""
    frames: list[re.Match[str]] = []
    kind, words, end = "unfinished", "", begin
    for place in range(begin + 1, len(lines)):
        if frame := _FRAME.match(lines[place]):
            frames.append(frame)
        elif frames and (ending := _END.match(lines[place])):
            kind, words, end = ending["kind"], ending["words"] or "", place
            following = _chained(lines, place)
            if following is None:
                break
            frames = []
    trouble = Trouble(
        process=process,
        line=begin + 1,
        kind=kind,
        place=_place(frames),
        words=words,
    )
    return trouble, max(end, begin)


def _chained(lines: list[str], end: int) -> int | None:
    """Where the next exception of a chain begins; its words may have more lines before."""
    for place in range(end + 1, min(end + 40, len(lines))):
        if _LINK.match(lines[place].strip()):
            return place
        if _BEGIN.match(lines[place]):
            return None
    return None


def _place(frames: Sequence[re.Match[str]]) -> str:
    for frame in reversed(frames):
        if ours := _OURS.search(frame["file"]):
            return f"{ours[1]}:{frame['line']} {frame['name']}"
    if not frames:
        return "an unknown place"
    name = "/".join(Path(frames[-1]["file"]).parts[-2:])
    return f"{name}:{frames[-1]['line']} {frames[-1]['name']}"
