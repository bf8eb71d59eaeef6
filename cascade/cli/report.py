"""`cascade report`: what came of the messages of a period, and what they cost."""

from __future__ import annotations

import importlib.util

from pathlib import Path
from typing import IO

import click

from cascade.cli import report_csv, report_json, report_text
from cascade.cli.connection import database
from cascade.cli.output import console, json_option, print_json
from cascade.cli.period import period, zone
from cascade.domain.errors import ConfigurationError, InvalidInputError
from cascade.domain.report import Dimension, MoneyBy, Question, Report
from cascade.services.report import answer
from cascade.storage.database import now, transaction


PICTURES = (".png", ".svg")


def _dimensions(
    _context: click.Context, _option: click.Parameter, words: str
) -> frozenset[Dimension]:
    """Words with commas between them."""
    try:
        return frozenset(Dimension(word.strip()) for word in words.split(",") if word.strip())
    except ValueError:
        raise click.BadParameter(f"use some of {','.join(Dimension)}") from None


@click.command(short_help="Show what came of messages: the funnel, cost, savings.")
@click.option(
    "--by",
    default="",
    callback=_dimensions,
    metavar="WORDS",
    help="Group by day, sender, policy, channel: some of them, with commas.",
)
@click.option("--since", metavar="WHEN", help="A date, a moment with its offset, 7d, 12h or 30m.")
@click.option("--until", metavar="WHEN", help="Likewise; not part of the period itself.")
@click.option("--timezone", default="UTC", show_default=True, help="Where days begin and end.")
@click.option("--sender", help="Messages of this sender only.")
@click.option("--policy", help="Messages of this policy only, in all its versions.")
@click.option(
    "--money-by",
    type=click.Choice([one.value for one in MoneyBy]),
    default=MoneyBy.ACCEPTED.value,
    show_default=True,
    help="Money of the messages accepted in the period, or booked in it.",
)
@click.option(
    "--csv",
    "csv_file",
    type=click.File("w", encoding="utf-8", lazy=True),
    help="Write a row for each group; - for the standard output.",
)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Draw the funnel, as .png or .svg.",
)
@json_option
def report(  # noqa: PLR0913  # one for each option
    *,
    by: frozenset[Dimension],
    since: str | None,
    until: str | None,
    timezone: str,
    sender: str | None,
    policy: str | None,
    money_by: str,
    csv_file: IO[str] | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Show what came of messages: the funnel, reach, time to deliver, cost and savings.

    A message belongs to the period in which it was accepted, and so does its money, whenever it
    was spent. For an accountant, --money-by booked sums the charges booked in the period instead,
    whenever their messages were accepted: the money of a month that is over does not change.

    Reached is a message with a delivery on any channel. Saved is what an SMS of the same words
    would have cost in place of its first delivery, less all that was charged for it. Currencies
    are never added to each other.

    7d is today and the six days before, 12h the last twelve hours; without --since and --until,
    it is 7d.

    \b
    cascade report
    cascade report --by day,channel --since 2026-03-01 --until 2026-04-01 --timezone Europe/Moscow
    cascade report --by sender --since 30d --csv senders.csv
    cascade report --money-by booked --since 2026-03-01 --until 2026-04-01 --json
    cascade report --picture funnel.svg
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    to_stdout = csv_file is not None and csv_file.name == "-"
    if as_json and to_stdout:
        raise click.UsageError("--json and --csv - would both write to the standard output")
    _check_picture(picture)
    place = zone(timezone)
    with database() as engine:
        when = period(since, until, transaction(engine, now), place)
        question = Question(
            since=when.since,
            until=when.until,
            timezone=place,
            by=by,
            sender=sender,
            policy=policy,
            money_by=MoneyBy(money_by),
        )
        found = answer(engine, question)
    if csv_file is not None:
        report_csv.write(found, csv_file)
    if csv_file is not None and not to_stdout:
        click.echo(f"written: {csv_file.name}", err=True)
    if picture is not None:
        _draw(found, picture)
        click.echo(f"drawn: {picture}", err=True)
    if as_json:
        print_json(report_json.document(found))
    elif not to_stdout:
        console().print(report_text.render(found))


def _check_picture(path: Path | None) -> None:
    """Before any work is done."""
    if path is None:
        return
    if path.suffix not in PICTURES:
        raise InvalidInputError("--picture", "no such kind of picture", "end it with .png or .svg")
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError(
            "--picture",
            "matplotlib is not installed",
            "run: pip install 'cascade-delivery[pictures]'",
        )


def _draw(found: Report, path: Path) -> None:
    # Here, since matplotlib is an extra, and slow to load.
    from cascade.cli.funnel_picture import draw  # noqa: PLC0415

    try:
        draw(found, path)
    except OSError as error:
        raise InvalidInputError(
            "--picture", f"it cannot be written: {error.strerror}", "name another place"
        ) from None
