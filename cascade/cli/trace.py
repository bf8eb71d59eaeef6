"""`cascade trace`: the timeline of one message in words."""

from __future__ import annotations

import datetime as dt
import uuid

import click

from cascade.cli.connection import client
from cascade.cli.figures import after, clock
from cascade.cli.output import json_option, print_json
from cascade.cli.timeline import Line, summary, timeline
from cascade.cli.values import MessageId
from cascade.storage.status import MessageStatus


@click.command(short_help="Tell what was tried, what providers said, and the cost.")
@click.argument("message_id", metavar="ID", type=MessageId())
@json_option
def trace(message_id: uuid.UUID, *, as_json: bool) -> None:
    """Tell the timeline of a message: what was tried, what each provider said, why it moved on
    and what it cost.

    \b
    cascade trace 0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f5a6
    cascade trace 0192f3a45b6c7d8e9fa0b1c2d3e4f5a6 --json

    Times are those at which Cascade knew, the first column counted from the acceptance.
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    with client() as cascade:
        status = cascade.status(message_id)
    lines = timeline(status)
    if as_json:
        print_json(_document(status, lines))
        return
    click.echo(_title(status))
    for line in lines:
        click.echo(_shown(status, line))
    click.echo(summary(status))


def _title(status: MessageStatus) -> str:
    return (
        f"message {status.id} from sender {status.sender}, priority {status.priority},"
        f" policy {status.policy}, version {status.policy_version},"
        f" accepted {clock(status.created_at)}"
    )


def _shown(status: MessageStatus, line: Line) -> str:
    if line.at is None:
        return f"{'now':>11}  {'':23}  {line.channel or '':8}  {line.words}"
    relative = after(line.at, status.created_at)
    absolute = line.at.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")
    return f"{relative:>11}  {absolute}  {line.channel or '':8}  {line.words}"


def _document(status: MessageStatus, lines: list[Line]) -> dict[str, object]:
    return {
        "id": status.id,
        "state": status.state,
        "success_met": status.success_met,
        "timeline": [
            {
                "at": line.at,
                "after": None
                if line.at is None
                else (line.at - status.created_at).total_seconds(),
                "channel": line.channel,
                "words": line.words,
            }
            for line in lines
        ],
        "cost": status.cost,
        "summary": summary(status),
    }
