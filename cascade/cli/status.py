"""`cascade status`: where one message stands."""

from __future__ import annotations

import dataclasses
import uuid

import click

from cascade.cli.connection import client
from cascade.cli.figures import clock, money, total
from cascade.cli.output import json_option, print_json, print_table
from cascade.cli.values import MessageId
from cascade.storage.status import AttemptStatus, MessageStatus


_COLUMNS = ("step", "channel", "account", "state", "why", "tries", "called", "delivered", "cost")


@click.command()
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
    print_table(_COLUMNS, map(_row, found.attempts))


def as_document(found: MessageStatus) -> dict[str, object]:
    """The message for `print_json`, with what it cost in all."""
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return {**fields, "cost": found.cost}


def heading(found: MessageStatus) -> list[str]:
    """The message in a few lines."""
    state = found.state.replace("_", " ")
    over = "" if found.ended_at is None else f", {clock(found.ended_at)}"
    scheduled = () if found.send_at is None else (f"starts at   {clock(found.send_at)}",)
    return [
        f"message     {found.id}",
        f"state       {state}{over}",
        f"policy      {found.policy}, version {found.policy_version}",
        f"sender      {found.sender}, {found.priority}",
        f"accepted    {clock(found.created_at)}",
        *scheduled,
        f"deadline    {clock(found.deadline)}",
        f"cost        {total(found.cost)}",
        "",
    ]


def _row(attempt: AttemptStatus) -> tuple[object, ...]:
    cost = None
    if attempt.cost is not None and attempt.currency is not None:
        cost = money(attempt.cost, attempt.currency)
    return (
        attempt.step + 1,
        attempt.channel,
        attempt.account,
        attempt.state,
        attempt.error,
        attempt.tries,
        attempt.started_at and clock(attempt.started_at),
        attempt.delivered_at and clock(attempt.delivered_at),
        cost,
    )
