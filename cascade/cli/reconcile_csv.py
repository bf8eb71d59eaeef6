"""Discrepancies as CSV: a row for each, without any recipient."""

from __future__ import annotations

import csv

from collections.abc import Iterable, Mapping
from typing import IO

from cascade.domain.discrepancy import Discrepancy
from cascade.domain.money import Amount
from cascade.services.reconcile import Reconciled


COLUMNS = (
    "kind",
    "account",
    "at",
    "message_id",
    "attempt_id",
    "ref",
    "booked",
    "booked_currency",
    "billed",
    "billed_currency",
)


def write(found: Reconciled, file: IO[str]) -> None:
    """Amounts are exact; what is booked in several currencies stands with spaces between."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(one) for one in found.found)


def _row(one: Discrepancy) -> Mapping[str, object]:
    billed = [] if one.billed is None else [one.billed]
    return {
        "kind": one.kind,
        "account": one.account,
        "at": one.at.isoformat(),
        "message_id": one.message_id,
        "attempt_id": one.attempt_id,
        "ref": one.ref,
        "booked": _values(one.booked),
        "booked_currency": _currencies(one.booked),
        "billed": _values(billed),
        "billed_currency": _currencies(billed),
    }


def _values(amounts: Iterable[Amount]) -> str:
    return " ".join(f"{one.value:f}" for one in amounts)


def _currencies(amounts: Iterable[Amount]) -> str:
    return " ".join(one.currency for one in amounts)
