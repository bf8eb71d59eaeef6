"""`cascade reconcile`: our books against themselves and against providers' records."""

from __future__ import annotations

from pathlib import Path
from typing import IO
from zoneinfo import ZoneInfo

import click

from sqlalchemy import Engine

from cascade.cli import reconcile_csv, reconcile_text
from cascade.cli.connection import ledger
from cascade.cli.exits import REFUSED
from cascade.cli.output import console, json_option, print_json
from cascade.cli.period import period, zone
from cascade.cli.values import pairs
from cascade.domain.discrepancy import Discrepancy
from cascade.domain.record import COLUMNS, Form
from cascade.services import reconcile as service
from cascade.services.reconcile import Question, Reconciled, echoing_accounts, hashed_by
from cascade.services.repair import Repaired, repair
from cascade.storage.database import now, transaction
from cascade.storage.reconciling import Period


@click.command(short_help="Compare the books with providers' records.")
@click.argument(
    "records",
    metavar="[RECORD]...",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--since", metavar="WHEN", help="A date, a moment with its offset, 7d, 12h or 30m.")
@click.option("--until", metavar="WHEN", help="Likewise; not part of the period itself.")
@click.option(
    "--timezone", default="UTC", show_default=True, help="Of days, and of times without an offset."
)
@click.option("--account", help="Of records that do not name our accounts.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    callback=pairs,
    help=f"Their name of a column: {', '.join(COLUMNS)}.",
)
@click.option("--repair", "is_repair", is_flag=True, help="Write what is missing.")
@click.option(
    "--csv",
    "csv_file",
    type=click.File("w", encoding="utf-8", lazy=True),
    help="Write a row for each discrepancy; - for the standard output.",
)
@click.option(
    "--config-dir",
    envvar="CASCADE_CONFIG_DIR",
    default="config",
    type=click.Path(path_type=Path),
    help="Where providers.toml is; CASCADE_CONFIG_DIR, or config.",
)
@json_option
@click.pass_context
def reconcile(  # noqa: PLR0913  # one for each option
    ctx: click.Context,
    records: tuple[Path, ...],
    *,
    since: str | None,
    until: str | None,
    timezone: str,
    account: str | None,
    columns: dict[str, str],
    is_repair: bool,
    csv_file: IO[str] | None,
    config_dir: Path,
    as_json: bool,
) -> None:
    """Compare attempts, receipts and charges with each other, and with providers' records.

    RECORD is an invoice as CSV, or JSON lines such as the sandbox's ledger: what a provider
    delivered and bills. Its lines are matched by reference, else by recipient, time of the call
    and price. With --since or --until it must have a line for every delivery in the period;
    without them the period is that of the record, or the last seven days where there is none.

    --repair writes the receipts that are missing and books corrections beside the charges, which
    never change. What is left needs a person. Exit code 1 if anything is left.

    \b
    cascade reconcile
    cascade reconcile march.csv --since 2026-03-01 --until 2026-04-01 --timezone Europe/Moscow
    cascade reconcile smsc.csv --account smsc --column recipient=Phone --column amount=Cost
    cascade reconcile march.csv --csv differences.csv
    cascade reconcile march.csv --repair
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    to_stdout = csv_file is not None and csv_file.name == "-"
    if as_json and to_stdout:
        raise click.UsageError("--json and --csv - would both write to the standard output")
    place = zone(timezone)
    with ledger() as ours:
        form = Form(
            hashed=hashed_by(ours.keyring), columns=columns, account=account, timezone=place
        )
        is_named = since is not None or until is not None
        question = Question(
            period=None if records and not is_named else _period(ours.engine, since, until, place),
            records=records,
            form=form,
            is_whole=is_named,
            echoing=echoing_accounts(config_dir) if records else frozenset(),
        )
        done = repair(ours, question) if is_repair else None
        found = service.reconcile(ours.engine, question) if done is None else done.left
    if csv_file is not None:
        reconcile_csv.write(found, csv_file)
    if as_json:
        print_json(_document(found, done))
    elif not to_stdout:
        console().print(reconcile_text.render(found, done))
    if found.found:
        ctx.exit(REFUSED)


def _period(engine: Engine, since: str | None, until: str | None, place: ZoneInfo) -> Period:
    when = period(since, until, transaction(engine, now), place)
    return Period(when.since, when.until)


def _document(found: Reconciled, done: Repaired | None) -> dict[str, object]:
    written = {} if done is None else {"written": done.written}
    return {
        "since": found.period.since,
        "until": found.period.until,
        "lines": found.lines,
        "outside": found.outside,
        "agreed": found.agreed,
        "is_balanced": not found.found,
        **written,
        "counts": found.counts,
        "found": [_discrepancy(one) for one in found.found],
    }


def _discrepancy(one: Discrepancy) -> dict[str, object]:
    return {
        "kind": one.kind,
        "account": one.account,
        "at": one.at,
        "message_id": one.message_id,
        "attempt_id": one.attempt_id,
        "ref": one.ref,
        "booked": one.booked,
        "billed": one.billed,
        "is_mendable": one.remedy is not None,
    }
