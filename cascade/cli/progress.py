"""How far a long command has come: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import datetime as dt
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from cascade.cli.figures import span
from cascade.cli.output import console


EVERY = 3.0  # seconds between two lines

Tell = Callable[[int, int], None]
"""Is told the bytes and the rows that are done."""


@contextmanager
def progress(size: int) -> Iterator[Tell]:
    """Shows on stderr how much of `size` bytes is done, with the rate and what is left."""
    terminal = console(stderr=True)
    if terminal.is_terminal:
        with _bar(terminal, size) as tell:
            yield tell
    else:
        yield _Lines(size).tell


@contextmanager
def _bar(terminal: Console, size: int) -> Iterator[Tell]:
    began = time.monotonic()
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,} a second, left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task("", total=size, rows=0, rate=0)

        def tell(done: int, rows: int) -> None:
            bar.update(task, completed=done, rows=rows, rate=rate(rows, time.monotonic() - began))

        yield tell


class _Lines:
    def __init__(self, size: int) -> None:
        self._size = size
        self._began = self._told = time.monotonic()

    def tell(self, done: int, rows: int) -> None:
        now = time.monotonic()
        if now - self._told < EVERY or not done:
            return
        self._told = now
        took = now - self._began
        left = span(dt.timedelta(seconds=round(took * (self._size - done) / done)))
        click.echo(
            f"{rows:,} rows, {100 * done // self._size} %,"
            f" {rate(rows, took):,} a second, {left} left",
            err=True,
        )


def rate(rows: int, seconds: float) -> int:
    """Rows a second."""
    return round(rows / seconds) if seconds > 0 else 0
