"""What a provider sends an accountant: one line for each delivered message, as CSV."""

from __future__ import annotations

import csv
import io
import json

from collections.abc import Iterator
from pathlib import Path
from typing import Any


_COLUMNS = (
    "account",
    "ref",
    "client_ref",
    "recipient",
    "accepted_at",
    "delivered_at",
    "amount",
    "currency",
)


def invoice_of(ledger: Path, account: str | None) -> str:
    """The deliveries in `ledger`, those of `account` if it is given; raises OSError.

    Times are ISO 8601, recipients E.164, amounts exact decimals. Our reference stands there only
    where it is the provider's own id, too: no other provider puts it into its record.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        _row(line) for line in _deliveries(ledger) if account in {None, line["account"]}
    )
    return text.getvalue()


def _deliveries(ledger: Path) -> Iterator[dict[str, Any]]:
    with ledger.open(encoding="utf-8") as lines:
        for line in lines:
            if '"event": "delivered"' in line:  # most lines are others, and need not be read
                yield json.loads(line)


def _row(line: dict[str, Any]) -> dict[str, Any]:
    shown = line["client_ref"] if line["client_ref"] == line["ref"] else None
    return {**line, "client_ref": shown, "delivered_at": line["at"]}
