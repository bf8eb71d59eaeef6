"""`cascade rates`: what deliveries cost."""

from __future__ import annotations

import datetime as dt

from pathlib import Path

import click

from cascade.cli.connection import database
from cascade.cli.figures import money
from cascade.cli.inspection import directory_argument, tell
from cascade.cli.output import json_option, print_json, print_table
from cascade.cli.values import moment
from cascade.domain.errors import InvalidInputError, shown
from cascade.domain.money import COLUMNS, Rate
from cascade.services.check_config import machine_time
from cascade.services.inspect_config import inspect_rates
from cascade.storage.catalogue import rates_in_force
from cascade.storage.database import transaction


@click.group()
def rates() -> None:
    """The prices of `rates.csv`, and those in force in the database.

    \b
    cascade rates check                   before a change of the file is deployed
    cascade rates show --account smsc     what an account takes now
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped


def _moment(_ctx: click.Context, param: click.Parameter, given: str | None) -> dt.datetime | None:
    """A date is its first moment in UTC."""
    if given is None:
        return None
    try:
        found = moment(given)
    except ValueError:
        raise click.BadParameter("write a date, such as 2026-12-31", param=param) from None
    if found.tzinfo is None and len(given) > len("2026-12-31"):
        raise click.BadParameter("write the zone, such as 2026-12-31T10:00+03:00", param=param)
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


@rates.command(short_help="Show the rates in force in the database.")
@click.option("--account", help="Of this account only.")
@click.option("--at", metavar="DATE", callback=_moment, help="At this time (UTC) instead of now.")
@json_option
def show(*, account: str | None, at: dt.datetime | None, as_json: bool) -> None:
    """Show the rates in force in the database: of each account, for each beginning of a number.

    The longest beginning counts, and the rate at the first call of an attempt.

    \b
    cascade rates show
    cascade rates show --account smsc --at 2026-12-31
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    with database() as engine:
        found = transaction(engine, lambda connection: rates_in_force(connection, at))
    chosen = [rate for rate in found if account in (None, rate.account)]
    if account is not None and not chosen:
        raise InvalidInputError(
            "--account", f"no rate of {shown(account)} is in force", "see `cascade rates show`"
        )
    if as_json:
        print_json([{name: getattr(rate, name) for name in COLUMNS} for rate in chosen])
    else:
        print_table(("account", "channel", "prefix", "price", "since"), map(_row, chosen))


@rates.command(short_help="Check `rates.csv`; needs no database.")
@directory_argument
@json_option
def check(*, directory: Path, as_json: bool) -> None:
    """Check `rates.csv` of DIR: readable, and a rate for +7 in force for every account.

    DIR is CASCADE_CONFIG_DIR, or `config`. Notes name rates of no account, prices in another unit
    than the provider bills, and beginnings of numbers that overlap. Needs no database. Exit code 3
    if there is a problem.

    \b
    cascade rates check
    cascade rates check deploy/config --json
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    tell(inspect_rates(directory, machine_time()), "rates", as_json=as_json)


def _row(rate: Rate) -> tuple[object, ...]:
    price = f"{money(rate.price, rate.currency)} a {rate.unit}"
    since = f"{rate.valid_from.astimezone(dt.UTC):%Y-%m-%d}"
    return rate.account, rate.channel, rate.prefix, price, since
