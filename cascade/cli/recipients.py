"""Reading a file of recipients: CSV in UTF-8, a header, then a row for each; streamed."""

from __future__ import annotations

import csv

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from cascade.domain.errors import InvalidInputError


TO, KEY, LANGUAGE, SEND_AT = "to", "key", "language", "send_at"
OF_THE_ROW = frozenset({TO, KEY, LANGUAGE, SEND_AT})  # every other column is a variable

_DELIMITERS = ",;\t"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Record:
    """One row: the line it begins on, and its cells by column or why it cannot be read."""

    line: int
    cells: Mapping[str, str] | InvalidInputError = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientsFile:
    """A file that was looked through once: all of it is UTF-8, and its header names `to`."""

    path: Path
    size: int  # bytes
    delimiter: str
    columns: tuple[str, ...]

    def open(self) -> TextIO:
        """For `records`; `.buffer.tell()` says how far they have come."""
        return self.path.open(encoding="utf-8-sig", newline="")

    def records(self, file: TextIO) -> Iterator[Record]:
        """The rows below the header; those without any content are passed by."""
        reader = csv.reader(file, delimiter=self.delimiter, strict=True)
        next(reader)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield Record(line, _broken())
            else:
                if any(cells):
                    yield Record(line, self._by_column(cells))

    def _by_column(self, cells: list[str]) -> Mapping[str, str] | InvalidInputError:
        if any(cells[len(self.columns) :]):
            return InvalidInputError(
                "row",
                f"it has {len(cells)} cells under {len(self.columns)} columns",
                "put cells that hold the separator into quotes",
            )
        named = zip(self.columns, cells, strict=False)  # a short row leaves the last ones out
        return {column: cell for column, cell in named if column}


def look_through(path: Path) -> RecipientsFile:
    """Reads the file once, before anything is sent; raises InvalidInputError with the line."""
    with path.open("rb") as file:
        first = _decoded(path, 1, file.readline().removeprefix(_BOM))
        for number, line in enumerate(file, 2):
            _decoded(path, number, line)
        size = file.tell()
    delimiter, columns = _header(path, first)
    return RecipientsFile(path=path, size=size, delimiter=delimiter, columns=columns)


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        # `from None`: the error holds the line.
        raise InvalidInputError(
            f"{path.name}, line {number}",
            "it is not UTF-8",
            "save the file as UTF-8 (in Excel: CSV UTF-8)",
        ) from None


def _header(path: Path, line: str) -> tuple[str, tuple[str, ...]]:
    """The separator under which the header names `to`, and the columns; most columns win."""
    readings = ((one, _columns(line, one)) for one in _DELIMITERS)
    fitting = [(delimiter, columns) for delimiter, columns in readings if TO in columns]
    if not fitting:
        raise InvalidInputError(
            f"{path.name}, line 1",
            f"it names no column {TO!r}",
            f"begin with a line of names, of which {TO!r} heads the phone numbers,"
            " separated by commas, semicolons or tabs",
        )
    delimiter, columns = max(fitting, key=lambda one: len(one[1]))
    _check_twice(path, columns)
    return delimiter, columns


def _columns(line: str, delimiter: str) -> tuple[str, ...]:
    row = next(csv.reader([line], delimiter=delimiter), [])
    return tuple(name.strip() for name in row)


def _check_twice(path: Path, columns: tuple[str, ...]) -> None:
    for name in columns:
        if name and columns.count(name) > 1:
            raise InvalidInputError(
                f"{path.name}, line 1", f"column {name!r} appears twice", "rename one of them"
            )


def _broken() -> InvalidInputError:
    return InvalidInputError(
        "row", "its quotes do not match", 'write a quote inside a quoted cell as two: ""'
    )
