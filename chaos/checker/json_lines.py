"""Files of one JSON object a line, whose writers may have been killed in the middle of a line."""

from __future__ import annotations

import json

from collections.abc import Iterator
from pathlib import Path
from typing import Any


class EvidenceError(Exception):
    """Something that is to be judged is missing or cannot be read; the message says what."""


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of `path`; an unfinished last line was never written. Raises EvidenceError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror}") from error
    whole, _, _ = content.rpartition(b"\n")
    for number, line in enumerate(whole.split(b"\n"), start=1):
        if line:
            yield _object(line, f"{path}:{number}")


def _object(line: bytes, place: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise EvidenceError(f"{place} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise EvidenceError(f"{place} is no JSON object")
    return found
