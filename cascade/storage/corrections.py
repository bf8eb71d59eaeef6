"""What reconciling writes: a row for a run, and corrections beside the charges."""

from __future__ import annotations

import datetime as dt
import json

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

from cascade.storage.rows import as_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is added to an attempt's charge; `ref` is of the provider's line, if it is about one."""

    attempt_id: int
    ref: str | None
    reason: str
    amount: Decimal
    currency: str


# Two repairs at once would correct twice: the second one waits, and finds newer corrections.
_ALONE = text("LOCK TABLE cascade.corrections IN SHARE ROW EXCLUSIVE MODE")
_LAST = text("SELECT coalesce(max(id), 0) FROM cascade.corrections")

_RUN = text("""
    INSERT INTO cascade.reconciliations (is_nightly, since, until, lines, found)
    VALUES (:is_nightly, :since, :until, :lines, CAST(:found AS jsonb)) RETURNING id
""")

_CORRECT = text("""
    INSERT INTO cascade.corrections (reconciliation_id, attempt_id, ref, reason, amount, currency)
    SELECT :run, attempt_id, ref, reason, amount, currency
    FROM json_to_recordset(CAST(:rows AS json)) AS r(attempt_id bigint, ref text, reason text,
        amount numeric(14,6), currency text)
""")


def be_alone(connection: Connection, last_correction: int) -> bool:
    """Whether nobody has corrected after `last_correction`; nobody will before this ends."""
    connection.execute(_ALONE)
    return bool(connection.execute(_LAST).scalar_one() == last_correction)


def note_run(
    connection: Connection,
    *,
    is_nightly: bool,
    since: dt.datetime,
    until: dt.datetime,
    lines: int,
    found: Mapping[str, int],
) -> int:
    """Writes what a run found, by kind; returns its id."""
    values = {
        "is_nightly": is_nightly,
        "since": since,
        "until": until,
        "lines": lines,
        "found": json.dumps(found),
    }
    return int(connection.execute(_RUN, values).scalar_one())


def correct(connection: Connection, run: int, corrections: Iterable[Correction]) -> int:
    """Books corrections of a run; returns how many."""
    rows = as_rows(
        {
            "attempt_id": one.attempt_id,
            "ref": one.ref,
            "reason": one.reason,
            "amount": str(one.amount),
            "currency": one.currency,
        }
        for one in sorted(corrections, key=lambda one: one.attempt_id)
    )
    return connection.execute(_CORRECT, {"run": run, "rows": rows}).rowcount
