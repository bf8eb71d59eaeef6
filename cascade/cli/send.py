"""`cascade send`: one message."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Mapping

import click

from cascade.cli.asking import Asked, asking
from cascade.cli.connection import client
from cascade.cli.exits import REFUSED
from cascade.cli.figures import total
from cascade.cli.following import follow
from cascade.cli.output import json_option, print_json
from cascade.cli.values import Moment, pairs
from cascade.client import Cascade
from cascade.domain.state import MessageState
from cascade.storage.status import MessageStatus


@click.command(short_help="Send one message and print its id.")
@click.option("--to", required=True, help="A phone number, such as +79161234567.")
@asking
@click.option(
    "--var", multiple=True, callback=pairs, metavar="NAME=VALUE", help="A value for #name#."
)
@click.option("--language", help="Which of the --text-in, and of the templates.")
@click.option("--key", help="The same key with the same request sends once, for 7 days.")
@click.option("--send-at", type=Moment(), help="Nothing is sent before this time.")
@click.option("--wait", is_flag=True, help="Follow the message until it ends; 1 if undelivered.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long --wait follows.",
)
@json_option
@click.pass_context
def send(  # noqa: PLR0913  # each is an option
    ctx: click.Context,
    asked: Asked,
    *,
    to: str,
    var: Mapping[str, str],
    language: str | None,
    key: str | None,
    send_at: dt.datetime | None,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Send one message and print its id.

    \b
    cascade send --to +79161234567 --text "Ваш заказ собран"
    cascade send --to +79161234567 --text "#name#, заказ собран" --var name=Анна --key order-17
    cascade send --to +79161234567 --text "Код 4711" --policy code --priority urgent --wait
    cascade send --to +79161234567 --text "Заказ собран" --text-for sms="Собран" \\
        --template whatsapp=order_ready:ru --parameter whatsapp.1=17 \\
        --send-at 2026-12-31T10:00+03:00

    Times are ISO 8601 with a zone. --wait ends with 0 if the message was delivered, and with 1 if
    it was not, or not within --timeout.
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    with client() as cascade:
        message_id = cascade.send(
            to=to, variables=var, language=language, key=key, send_at=send_at, **asked.arguments()
        )
        if not as_json:
            click.echo(message_id)
        status = _follow(cascade, message_id, timeout) if wait else None
    if as_json:
        print_json({"id": message_id, **({} if status is None else _outcome(status))})
    if status is not None:
        ctx.exit(0 if status.state is MessageState.DELIVERED else REFUSED)


def _follow(cascade: Cascade, message_id: uuid.UUID, timeout: float) -> MessageStatus:
    """The status at the end, or after `timeout` seconds; tells each change on the way."""
    told = None
    status = cascade.status(message_id)
    for status in follow(lambda: cascade.status(message_id), timeout=timeout):
        if (words := _words(status)) != told:
            click.echo(words, err=True)
            told = words
    if status.state is MessageState.IN_PROGRESS:
        click.echo(
            f"not ended within {timeout:g} s; cascade status {message_id} tells more", err=True
        )
    click.echo(f"cost {total(status.cost)}", err=True)
    return status


def _words(status: MessageStatus) -> str:
    if status.state is MessageState.IN_PROGRESS:
        return f"in progress: {status.channel} {status.attempts[-1].state}"
    over = f" over {status.channel}" if status.state is MessageState.DELIVERED else ""
    return f"{status.state}{over}"


def _outcome(status: MessageStatus) -> dict[str, object]:
    return {
        "state": status.state,
        "success_met": status.success_met,
        "channel": status.channel,
        "cost": status.cost,
    }
