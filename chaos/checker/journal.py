"""What the battery itself has noted: messages that were accepted, and processes that it stopped."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chaos.checker.json_lines import EvidenceError, read_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message whose `send` has returned."""

    message_id: uuid.UUID
    key: str  # the caller's
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A process that was stopped (SIGSTOP) and went on; a worker has its channel's name."""

    process: str
    begun: dt.datetime
    ended: dt.datetime


def read_accepted(paths: Iterable[Path]) -> list[Accepted]:
    """Lines `{"id": …, "key": …, "at": …}`; raises EvidenceError."""
    try:
        return [
            Accepted(
                message_id=uuid.UUID(line["id"]),
                key=line["key"],
                at=dt.datetime.fromisoformat(line["at"]),
            )
            for path in paths
            for line in read_lines(path)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"a journal lacks or mistakes {error}") from error


def read_stops(path: Path) -> list[Stop]:
    """Lines `{"process": "vk", "from": …, "until": …}`; raises EvidenceError."""
    try:
        return [
            Stop(
                process=line["process"],
                begun=dt.datetime.fromisoformat(line["from"]),
                ended=dt.datetime.fromisoformat(line["until"]),
            )
            for line in read_lines(path)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"{path} lacks or mistakes {error}") from error
