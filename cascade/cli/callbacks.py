"""`cascade callbacks`: customers' endpoints, and what they are told."""

from __future__ import annotations

import base64
import datetime as dt
import os
import secrets

from collections.abc import Mapping, Sequence

import click

from sqlalchemy import Connection, Engine

from cascade.callbacks.endpoints import load_endpoints
from cascade.callbacks.signature import PREFIX
from cascade.cli.connection import database
from cascade.cli.exits import REFUSED
from cascade.cli.output import json_option, print_json, print_table
from cascade.cli.values import Moment
from cascade.domain.errors import InvalidInputError, shown
from cascade.services.check_config import ConfigSettings, machine_time
from cascade.services.finding import span
from cascade.services.post import LEASE
from cascade.services.try_endpoint import try_endpoint
from cascade.settings import load
from cascade.storage.database import transaction
from cascade.storage.endpoints import (
    EndpointState,
    enable as enable_endpoint,
    endpoint_states,
    given_up_webhooks,
    owed_webhooks,
    resend as resend_webhooks,
)


BEGINNING = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
SECRET_BYTES = 32


@click.group()
def callbacks() -> None:
    """Customers' endpoints, and the webhooks owed to them.

    \b
    cascade callbacks list
    cascade callbacks test shop
    cascade callbacks enable shop
    cascade callbacks resend shop --since 2026-11-01T00:00+03:00
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped


@callbacks.command("list", short_help="Show how endpoints answer, and what they are owed.")
@json_option
def list_endpoints(*, as_json: bool) -> None:
    """Show how each endpoint answers, how many webhooks are owed to it, and how many were given up.

    \b
    cascade callbacks list
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    with database() as engine:
        states, owed, given_up = transaction(engine, _look)
    if as_json:
        print_json([_document(one, owed, given_up) for one in states])
        return
    rows = [
        (one.name, _told(one), owed.get(one.name, 0), given_up.get(one.name, 0)) for one in states
    ]
    print_table(("endpoint", "state", "owed", "given up"), rows)


@callbacks.command(short_help="Tell a disabled or failing endpoint all that it is owed.")
@click.argument("name")
@json_option
def enable(*, name: str, as_json: bool) -> None:
    """Enable an endpoint again: it is told at once all that it is owed, in order.

    An endpoint that took nothing for five days, or answered 410, was disabled. What was given up
    before is told by `resend`.

    \b
    cascade callbacks enable shop
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    with database() as engine:
        is_known = transaction(engine, lambda c: enable_endpoint(c, name, lease=LEASE))
        _check_known(name, is_known=is_known)
        owed = transaction(engine, owed_webhooks).get(name, 0)
    if as_json:
        print_json({"endpoint": name, "owed": owed})
    else:
        click.echo(f"{name} is enabled; {owed:,} webhooks are owed to it")


@callbacks.command(short_help="Tell an endpoint again what was given up.")
@click.argument("name")
@click.option("--since", type=Moment(), help="Only what happened at this time or later.")
@json_option
def resend(*, name: str, since: dt.datetime | None, as_json: bool) -> None:
    """Tell an endpoint what was given up after ten tries; each has ten tries again.

    Older changes may come after newer ones, so the receiver goes by `sequence`.

    \b
    cascade callbacks resend shop
    cascade callbacks resend shop --since 2026-11-01T00:00+03:00
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    if since is not None and since.utcoffset() is None:
        raise InvalidInputError("--since", "it has no zone", "write 2026-11-01T00:00+03:00")
    with database() as engine:
        states = transaction(engine, endpoint_states)
        _check_known(name, is_known=name in {one.name for one in states})
        count = _resend(engine, name, since or BEGINNING)
    if as_json:
        print_json({"endpoint": name, "resent": count})
    else:
        click.echo(f"{count:,} webhooks are owed to {name} again")


@callbacks.command(short_help="Call an endpoint with a test webhook.")
@click.argument("name")
@json_option
def test(*, name: str, as_json: bool) -> None:
    """Call an endpoint from this machine with a signed webhook of the type `endpoint.test`.

    Reads endpoints.toml and the secrets of the environment; needs no database. Exit code 1 unless
    the endpoint took it.

    \b
    cascade callbacks test shop
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    endpoints = load_endpoints(load(ConfigSettings).config_dir, os.environ)
    posted = try_endpoint(endpoints, name, machine_time())
    if as_json:
        print_json({"endpoint": name, "was_taken": posted.error is None, "error": posted.error})
    else:
        click.echo(f"{name} took it" if posted.error is None else f"{name}: {posted.error}")
    if posted.error is not None:
        click.get_current_context().exit(REFUSED)


@callbacks.command(short_help="Make a secret for an endpoint.")
@json_option
def secret(*, as_json: bool) -> None:
    """Make a secret: for CASCADE_ENDPOINT_<NAME>_SECRETS here, and for the receiver.

    \b
    cascade callbacks secret
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    made = PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    if as_json:
        print_json({"secret": made})
    else:
        click.echo(made)


def _look(
    connection: Connection,
) -> tuple[Sequence[EndpointState], Mapping[str, int], Mapping[str, int]]:
    return (
        endpoint_states(connection),
        owed_webhooks(connection),
        given_up_webhooks(connection),
    )


def _resend(engine: Engine, name: str, since: dt.datetime) -> int:
    """In sets, each in a transaction of its own."""
    count = 0
    while found := transaction(engine, lambda c: resend_webhooks(c, name, since)):
        count += found
    return count


def _check_known(name: str, *, is_known: bool) -> None:
    if not is_known:
        raise InvalidInputError(
            "NAME", f"no endpoint {shown(name)} is in the database", "see `cascade callbacks list`"
        )


def _told(one: EndpointState) -> str:
    if one.disabled_for is not None:
        return f"disabled for {span(max(0.0, one.disabled_for))} ({one.error})"
    if one.failing_for is not None:
        return f"failing for {span(max(0.0, one.failing_for))} ({one.error})"
    return "well"


def _document(
    one: EndpointState, owed: Mapping[str, int], given_up: Mapping[str, int]
) -> dict[str, object]:
    return {
        "endpoint": one.name,
        "failing_for": one.failing_for,
        "disabled_for": one.disabled_for,
        "error": one.error,
        "owed": owed.get(one.name, 0),
        "given_up": given_up.get(one.name, 0),
    }
