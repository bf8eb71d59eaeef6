"""How commands speak: tables for people on a terminal, JSON for machines with `--json`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import uuid

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import click

from rich.console import Console
from rich.table import Table


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")

_ANY_WIDTH = 1000


def console(*, stderr: bool = False) -> Console:
    """Where tables and lines go; plain text of any width where no terminal listens."""
    found = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not found.is_terminal:
        found.width = _ANY_WIDTH
    return found


def print_json(value: object) -> None:
    """Prints dataclasses, times, ids and exact decimals (as strings) as one JSON document."""
    click.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One row a line; None is shown as a dash."""
    console().print(table(columns, rows))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """One row a line; None is shown as a dash."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        found.add_column(column, overflow="fold")  # else a long name is cut where it is needed
    for row in rows:
        found.add_row(*("–" if cell is None else str(cell) for cell in row))
    return found


def fitting_table(
    rows: Sequence[Mapping[str, object]], *, spare: Sequence[str], terminal: Console
) -> Table:
    """Rows by the names of their columns, a line each: `spare` columns go, the first one first, as
    long as the terminal is too narrow.
    """
    columns, unbounded = list(rows[0]), terminal.options.update_width(_ANY_WIDTH)
    for name in spare:
        wanted = terminal.measure(_of_columns(rows, columns), options=unbounded).maximum
        if wanted <= terminal.width:
            break
        columns.remove(name)
    return _of_columns(rows, columns)


def _of_columns(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> Table:
    return table(columns, ([row[name] for name in columns] for row in rows))


def _plain(value: object) -> object:
    match value:
        case dt.datetime():
            return value.isoformat()
        case uuid.UUID() | Decimal():
            return str(value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")
