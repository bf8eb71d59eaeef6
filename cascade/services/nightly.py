"""The nightly look at the books: compared with themselves, and with the records that lie ready.

It mends nothing: what it finds is for a person, who is told by an alert and by a metric.
"""

from __future__ import annotations

import datetime as dt
import logging

from collections import Counter
from pathlib import Path

from sqlalchemy import Connection

from cascade.domain.record import Form
from cascade.services.deployment import Ledger
from cascade.services.reconcile import (
    Question,
    Reconciled,
    echoing_accounts,
    hashed_by,
    reconcile,
    records_in,
)
from cascade.storage.corrections import note_run
from cascade.storage.database import now, transaction
from cascade.storage.reconciling import Period
from cascade.storage.sweep import begin


log = logging.getLogger(__name__)

PAUSE = dt.timedelta(hours=12)  # two beats, or a task given twice, make one run a night
BACK = dt.timedelta(days=35)  # a month's invoice, and its first days


def reconcile_nightly(ledger: Ledger, config_dir: Path, records_dir: Path | None) -> Counter[str]:
    """Compares the last weeks, and the records of `records_dir` from their first line to their
    last; writes what it found as a row. Raises CascadeError for a record that cannot be read.
    """
    if not transaction(ledger.engine, lambda c: begin(c, "reconcile", PAUSE)):
        return Counter(second=1)
    at = transaction(ledger.engine, now)
    found = reconcile(
        ledger.engine,
        Question(
            period=Period(at - BACK, at),
            records=() if records_dir is None else records_in(records_dir),
            form=Form(hashed=hashed_by(ledger.keyring)),
            is_whole=False,
            echoing=echoing_accounts(config_dir),
        ),
    )
    transaction(ledger.engine, lambda connection: _note(connection, found))
    differing = {kind: count for kind, count in found.counts.items() if count}
    if differing:
        log.error("the books do not agree; see `cascade reconcile`", extra={"found": differing})
    return Counter(lines=found.lines, agreed=found.agreed, **differing)


def _note(connection: Connection, found: Reconciled) -> int:
    return note_run(
        connection,
        is_nightly=True,
        since=found.period.since,
        until=found.period.until,
        lines=found.lines,
        found=found.counts,
    )
