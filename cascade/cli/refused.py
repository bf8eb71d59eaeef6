"""The list of refused rows: line, field, problem, cure; no phone number and no text."""

from __future__ import annotations

import csv

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

import click

from cascade.domain.errors import CascadeError


class Problem(NamedTuple):
    """A refused row: the line it begins on, and why."""

    line: int
    error: CascadeError


class RefusedRows:
    """Writes problems to a file as they come."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._writer = csv.writer(file)
        self._writer.writerow(("line", "field", "problem", "cure"))
        self.count = 0

    def add(self, problems: Iterable[Problem]) -> None:
        """In the order of their lines; they are on disk when this returns."""
        for line, error in sorted(problems, key=lambda one: one.line):
            self._writer.writerow((line, error.field, error.problem, error.cure))
            self.count += 1
        self._file.flush()


@contextmanager
def refused_rows(path: Path, source: Path) -> Iterator[RefusedRows]:
    """A new list at `path`, in place of an earlier run's; gone in the end if nothing is on it."""
    if path.exists() and path.samefile(source):
        raise click.UsageError("--errors names the file of recipients itself")
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise click.UsageError(f"--errors {path}: {error.strerror}") from None
    with file:
        refused = RefusedRows(file)
        try:
            yield refused
        finally:
            if refused.count == 0:
                path.unlink(missing_ok=True)
