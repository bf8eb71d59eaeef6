"""`cascade send-csv`: one message for each row of a file, each once, however often it is run."""

from __future__ import annotations

import itertools
import time

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from cascade.cli.asking import Asked, asking
from cascade.cli.campaign import Campaign, default_name
from cascade.cli.connection import client
from cascade.cli.exits import REFUSED
from cascade.cli.output import json_option, print_json
from cascade.cli.progress import progress, rate
from cascade.cli.recipients import RecipientsFile, Record, look_through
from cascade.cli.refused import Problem, RefusedRows, refused_rows
from cascade.cli.rows import check_words, explained, left_out, row_of
from cascade.client import ROWS_AT_ONCE, Cascade, Row, SendReport
from cascade.domain.errors import CascadeError


@dataclass(slots=True)
class Tally:
    """What became of the rows so far; repeated ones had been accepted by an earlier run."""

    new: int = 0
    repeated: int = 0
    refused: int = 0

    @property
    def rows(self) -> int:
        """All that were read."""
        return self.new + self.repeated + self.refused


@click.command("send-csv")
@click.argument(
    "path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@asking
@click.option(
    "--campaign", help="Its rows are sent once.  [default: made from FILE's name and the words]"
)
@click.option(
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where refused rows are listed.  [default: FILE.errors.csv]",
)
@json_option
@click.pass_context
def send_csv(
    ctx: click.Context,
    asked: Asked,
    *,
    path: Path,
    campaign: str | None,
    errors: Path | None,
    as_json: bool,
) -> None:
    """Send one message for each row of a CSV file.

    \b
    cascade send-csv recipients.csv --text "#name#, ваш заказ собран" --priority bulk
    cascade send-csv recipients.csv --text "Скидка #percent# %" --campaign spring --policy patient
    cascade send-csv recipients.csv --text-in ru="Готово" --text-in en="Ready" --json

    The first line names the columns: `to` (required), `key`, `language`, `send_at`; every other
    column is a variable. UTF-8; separated by commas, semicolons or tabs.

    Run it again after an interruption, or after mending rows that were refused: within 7 days no
    row is sent twice. A row without a key of its own gets one from its campaign and its content;
    to send the same words to the same people once more, name another --campaign.
    Rows that say the same are each sent.

    Refused rows never stop the rest: they are listed by line, and the exit code is 1.
    """  # noqa: D301  # \b is click's mark for lines that are not wrapped
    began = time.monotonic()
    file = look_through(path)
    check_words(asked, file.columns)
    unused = left_out(asked, file.columns)
    if unused:
        click.echo(f"left out, since no text has a place for them: {', '.join(unused)}", err=True)
    sent_as = Campaign(campaign or default_name(path.name, asked))
    listed = errors or path.with_name(f"{path.name}.errors.csv")
    with client() as cascade, refused_rows(listed, path) as refused:
        one_run = _Run(cascade=cascade, asked=asked, campaign=sent_as, refused=refused)
        one_run.send(file)
    tally = one_run.tally
    seconds = time.monotonic() - began
    if as_json:
        print_json(_document(tally, sent_as, listed, seconds))
    else:
        click.echo(_words(tally, sent_as, listed, seconds))
    if sent_as.equal:
        click.echo(_equal(sent_as.equal), err=True)
    if tally.refused:
        ctx.exit(REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One pass over the file."""

    cascade: Cascade
    asked: Asked
    campaign: Campaign
    refused: RefusedRows
    tally: Tally = field(default_factory=Tally)

    def send(self, file: RecipientsFile) -> None:
        """All rows, in sets; an exception tells how far it came on its way out."""
        try:
            with file.open() as opened, progress(file.size) as tell:
                records = file.records(opened)
                while some := list(itertools.islice(records, ROWS_AT_ONCE)):
                    self._send_set(some)
                    tell(opened.buffer.tell(), self.tally.rows)
        except BaseException:
            click.echo(
                f"stopped after {self.tally.rows:,} rows; the same command goes on from there,"
                " and sends no row twice",
                err=True,
            )
            raise

    def _send_set(self, records: Sequence[Record]) -> None:
        rows: list[tuple[Record, Row]] = []
        problems: list[Problem] = []
        for record in records:
            try:
                rows.append((record, row_of(record, self.asked, self.campaign)))
            except CascadeError as error:
                problems.append(Problem(record.line, error))
        report = self.cascade.send_many((row for _, row in rows), **self.asked.arguments())
        for one in report.errors:
            record = rows[one.row - 1][0]
            problems.append(Problem(record.line, explained(one.error, record)))
        self.refused.add(problems)
        self._count(report, len(problems))

    def _count(self, report: SendReport, refused: int) -> None:
        self.tally.refused += refused
        self.tally.repeated += report.repeated
        self.tally.new += report.accepted - report.repeated


def _document(tally: Tally, sent_as: Campaign, listed: Path, seconds: float) -> dict[str, object]:
    return {
        "campaign": sent_as.name,
        "rows": tally.rows,
        "new": tally.new,
        "repeated": tally.repeated,
        "refused": tally.refused,
        "errors": str(listed) if tally.refused else None,
        "seconds": round(seconds, 3),
    }


def _words(tally: Tally, sent_as: Campaign, listed: Path, seconds: float) -> str:
    took = f"{seconds:.1f} s, {rate(tally.rows, seconds):,} a second"
    lines = [
        f"campaign {sent_as.name}: {tally.rows:,} rows in {took}",
        f"{tally.new:>9,} new",
        f"{tally.repeated:>9,} were there before, and are not sent again",
        f"{tally.refused:>9,} refused",
    ]
    if tally.refused:
        lines[-1] += f", listed in {listed}: mend them and run the same command again"
    return "\n".join(lines)


def _equal(count: int) -> str:
    return (
        "1 of them says the same as another"
        if count == 1
        else f"{count:,} of them say the same as others"
    )
