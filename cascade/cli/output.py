"""How commands speak: tables for people on a terminal, JSON for machines with `--json`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import uuid

from collections.abc import Iterable, Sequence
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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*("–" if cell is None else str(cell) for cell in row))
    console().print(table)


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
