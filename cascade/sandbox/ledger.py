"""The append-only record of what was accepted, delivered, read, refused and would be billed."""

from __future__ import annotations

import datetime as dt
import json

from dataclasses import dataclass, field
from pathlib import Path

from cascade.sandbox.clock import now
from cascade.sandbox.prices import Bill


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message that a provider has accepted; `ref` is the provider's, `client_ref` ours."""

    account: str
    channel: str
    ref: str
    client_ref: str | None
    phone: str = field(repr=False)  # E.164 with "+"
    accepted_at: dt.datetime
    bill: Bill
    status_url: str | None = field(repr=False)  # where its webhooks go


class Ledger:
    """JSON lines, one event a line, flushed line by line; money as decimal strings."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        """Makes the file, or goes on at its end; raises OSError."""
        self._file = self.path.open("a", encoding="utf-8")

    def book(self, event: str, message: Message, *, at: dt.datetime, code: str = "") -> None:
        """Writes `event` of an accepted message; only a delivery has an amount."""
        bill = message.bill
        self._write(
            event=event,
            at=at.isoformat(),
            account=message.account,
            channel=message.channel,
            ref=message.ref,
            client_ref=message.client_ref,
            recipient=message.phone,
            units=bill.units,
            price=_exact(bill.price),
            amount=_exact(bill.amount) if event == "delivered" else None,
            currency=bill.currency,
            accepted_at=message.accepted_at.isoformat(),
            code=code,
        )

    def refuse(
        self,
        event: str,
        *,
        account: str,
        channel: str,
        client_ref: str | None,
        recipient: str | None,
        code: str,
    ) -> None:
        """Writes that a request was answered with `code` and not accepted."""
        self._write(
            event=event,
            at=now().isoformat(),
            account=account,
            channel=channel,
            ref=None,
            client_ref=client_ref,
            recipient=recipient,
            units=None,
            price=None,
            amount=None,
            currency=None,
            accepted_at=None,
            code=code,
        )

    def close(self) -> None:
        """No line can follow."""
        self._file.close()

    def _write(self, **line: object) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _exact(amount: object) -> str | None:
    return None if amount is None else str(amount)
