"""`cascade cancel`: what was not sent yet is not sent."""

from __future__ import annotations

import uuid

import click

from cascade.cli.connection import client
from cascade.cli.exits import REFUSED
from cascade.cli.output import json_option, print_json
from cascade.cli.values import MessageId
from cascade.client import Cascade
from cascade.domain.errors import UnknownMessageError


@click.command(short_help="Cancel messages: what was not sent yet is not sent.")
@click.argument("message_ids", metavar="ID...", type=MessageId(), nargs=-1, required=True)
@json_option
@click.pass_context
def cancel(ctx: click.Context, message_ids: tuple[uuid.UUID, ...], *, as_json: bool) -> None:
    """Cancel messages: what was not sent yet is not sent. Exit code 1 if any was not cancelled.

    \b
    cascade cancel 0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f5a6
    cascade cancel 0192f3a45b6c7d8e9fa0b1c2d3e4f5a6 0192f3a4-8c1d-7000-8aaa-000000000001
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    with client() as cascade:
        outcomes = {one: _outcome(cascade, one) for one in message_ids}
    if as_json:
        print_json({str(one): outcome for one, outcome in outcomes.items()})
    else:
        for one, outcome in outcomes.items():
            click.echo(f"{one}  {_WORDS.get(outcome, f'had ended: {outcome}')}")
    if set(outcomes.values()) != {"cancelled"}:
        ctx.exit(REFUSED)


_WORDS = {"cancelled": "cancelled", "unknown": "there is no such message"}


def _outcome(cascade: Cascade, message_id: uuid.UUID) -> str:
    """`cancelled`, `unknown`, or the state in which the message had ended before."""
    if cascade.cancel(message_id):
        return "cancelled"
    try:
        return cascade.status(message_id).state.value
    except UnknownMessageError:
        return "unknown"
