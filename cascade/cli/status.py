"""`cascade status`: where one message stands."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import click

from rich.console import Console
from rich.table import Table

from cascade.cli.connection import client
from cascade.cli.figures import after, clock, money, total
from cascade.cli.output import console, fitting_table, json_option, print_json
from cascade.cli.reasons import delivery_heard_at
from cascade.cli.values import MessageId
from cascade.storage.status import AttemptStatus, MessageStatus


_SPARE = ("account", "delivered")  # columns that a narrow terminal does without


@click.command(short_help="Show a message and its attempts.")
@click.argument("message_id", metavar="ID", type=MessageId())
@json_option
def status(message_id: uuid.UUID, *, as_json: bool) -> None:
    """Show a message and its attempts.

    \b
    cascade status 0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f5a6
    cascade status 0192f3a45b6c7d8e9fa0b1c2d3e4f5a6 --json

    `cascade trace ID` tells the same in words, with what each provider said.
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    with client() as cascade:
        found = cascade.status(message_id)
    if as_json:
        print_json(as_document(found))
        return
    click.echo("\n".join(heading(found)))
    terminal = console()
    terminal.print(attempts(found, terminal))


def as_document(found: MessageStatus) -> dict[str, object]:
    """The message for `print_json`, with what it cost in all; steps count from 1."""
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    steps = [dataclasses.replace(one, step=one.step + 1) for one in found.attempts]
    return {**fields, "attempts": steps, "cost": found.cost}


def heading(found: MessageStatus) -> list[str]:
    """The message in a few lines."""
    state = found.state.replace("_", " ")
    over = "" if found.ended_at is None else f", {clock(found.ended_at)}"
    scheduled = () if found.send_at is None else (f"starts at   {clock(found.send_at)}",)
    return [
        f"message     {found.id}",
        f"state       {state}{over}",
        f"policy      {found.policy}, version {found.policy_version}",
        f"sender      {found.sender}",
        f"priority    {found.priority}",
        f"accepted    {clock(found.created_at)}",
        *scheduled,
        f"deadline    {clock(found.deadline)}",
        f"cost        {total(found.cost)}",
        "",
    ]


def attempts(found: MessageStatus, terminal: Console) -> Table:
    """A row for each; times count from the acceptance, as those of a trace."""
    rows = [_row(found, attempt) for attempt in found.attempts]
    return fitting_table(rows, spare=_SPARE, terminal=terminal)


def _row(found: MessageStatus, attempt: AttemptStatus) -> dict[str, object]:
    cost = None
    if attempt.cost is not None and attempt.currency is not None:
        cost = money(attempt.cost, attempt.currency)
    return {
        "step": attempt.step + 1,
        "channel": attempt.channel,
        "account": attempt.account,
        "state": attempt.state,
        "why": attempt.error,
        "tries": attempt.tries,
        "called": _after(found, attempt.started_at),
        "delivered": _after(found, delivery_heard_at(attempt)),
        "cost": cost,
    }


def _after(found: MessageStatus, moment: dt.datetime | None) -> str | None:
    return None if moment is None else after(moment, found.created_at)
