"""`python -m chaos.checker`: judges a run that has ended.

Exit status: 0 if nothing is violated, 1 if something is, 2 if the evidence cannot be read.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys

from pathlib import Path

from chaos.checker.evidence import Evidence
from chaos.checker.journal import read_accepted, read_stops
from chaos.checker.json_lines import EvidenceError
from chaos.checker.ledger import read_ledger
from chaos.checker.logs import read_troubles
from chaos.checker.report import as_json, as_text
from chaos.checker.tables import read_tables
from chaos.checker.verdict import judge


CLEAN, VIOLATED, UNREADABLE = 0, 1, 2


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="chaos.checker", description=__doc__)
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument("--ledger", type=Path, required=True, help="of the sandbox")
    parser.add_argument("--accepted", type=Path, required=True, nargs="+", help="journals")
    parser.add_argument("--logs", type=Path, help="the directory of the processes' *.log")
    parser.add_argument("--stops", type=Path, help="the processes that were stopped, and when")
    parser.add_argument(
        "--at-least-once",
        nargs="*",
        default=[],
        metavar="ACCOUNT",
        help="accounts at which a policy asks for sends to be repeated",
    )
    parser.add_argument("--tolerance", type=float, default=0.5, metavar="SECONDS")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    return parser.parse_args()


def main() -> int:
    """Reads, judges and tells."""
    given = arguments()
    try:
        verdict = judge(_evidence(given))
    except EvidenceError as error:
        sys.stderr.write(f"{error}\n")
        return UNREADABLE
    if given.json:
        given.json.write_text(json.dumps(as_json(verdict), indent=2) + "\n", "utf-8")
    sys.stdout.write(as_text(verdict) + "\n")
    return CLEAN if verdict.is_clean else VIOLATED


def _evidence(given: argparse.Namespace) -> Evidence:
    return Evidence(
        ledger=read_ledger(given.ledger),
        tables=read_tables(given.database),
        accepted=read_accepted(given.accepted),
        stops=read_stops(given.stops) if given.stops else [],
        troubles=read_troubles(given.logs) if given.logs else [],
        at_least_once=frozenset(given.at_least_once),
        tolerance=dt.timedelta(seconds=given.tolerance),
    )


if __name__ == "__main__":
    sys.exit(main())
