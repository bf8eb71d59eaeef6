"""The append-only record of what was called, accepted, delivered, told, and would be billed."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cascade.sandbox.clock import now
from cascade.sandbox.prices import Bill


_LONGEST_LINE = 2 * 1024**2  # bytes: a request has at most one MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One message of one request, as it came in; what could not be read is None."""

    account: str
    channel: str
    client_ref: str | None
    phone: str | None = field(repr=False)  # E.164 with "+"
    ttl: float | None  # seconds that it was given to live
    received_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message that a provider has accepted; `ref` is the provider's, `client_ref` ours."""

    account: str
    channel: str
    ref: str
    client_ref: str | None
    phone: str = field(repr=False)  # E.164 with "+"
    received_at: dt.datetime
    accepted_at: dt.datetime
    bill: Bill
    status_url: str | None = field(repr=False)  # where its webhooks go


class Ledger:
    """JSON lines, one event a line, each written at once; money as decimal strings.

    What is written survives the process; `kept` waits until it would survive the machine, too:
    until `sync`, which is given the file's descriptor, has returned.
    """

    def __init__(self, path: Path, *, sync: Callable[[int], None] = os.fdatasync) -> None:
        self.path = path
        self._fsync = sync
        self._written = 0  # lines
        self._kept = 0
        self._syncing = asyncio.Lock()

    def open(self) -> None:
        """Makes the file, or goes on after its last whole line; raises OSError."""
        self._drop_unfinished_line()
        self._file = self.path.open("a", encoding="utf-8")

    async def kept(self) -> None:
        """Returns once every line written so far is on the disk; raises OSError."""
        written = self._written
        async with self._syncing:
            if self._kept < written:
                await self._sync()

    def call(self, call: Call, *, ref: str | None, accepted: bool, code: str) -> None:
        """Writes that a message came in; `code` says why it was not accepted."""
        known = {"ref": ref, "code": code, "ttl": call.ttl, "accepted": accepted}
        self._write("called", call.received_at, **_of_call(call) | known)

    def refuse(self, event: str, call: Call, *, code: str) -> None:
        """Writes that a message was answered with `code` and not accepted."""
        self._write(event, now(), **_of_call(call), code=code)

    def blur(self, call: Call, *, ref: str | None, kind: str, accepted: bool) -> None:
        """Writes that whoever called cannot know whether the message was accepted."""
        known = {"ref": ref, "kind": kind, "accepted": accepted}
        self._write("ambiguous", now(), **_of_call(call) | known)

    def book(self, event: str, message: Message, *, at: dt.datetime) -> None:
        """Writes `event` of an accepted message; only a delivery has an amount."""
        amount = message.bill.amount if event == "delivered" else None
        self._write(event, at, **_of_message(message) | {"amount": _exact(amount)})

    def tell(self, message: Message, *, word: str, status: int | None) -> None:
        """Writes that a webhook was called and answered with `status`, None if it was not."""
        self._write("told", now(), **_of_message(message), word=word, status=status)

    def miss(self, message: Message, *, word: str) -> None:
        """Writes that a webhook was never acknowledged and will not be called again."""
        self._write("unheard", now(), **_of_message(message), word=word)

    def close(self) -> None:
        """No line can follow; raises OSError."""
        self._fsync(self._file.fileno())
        self._file.close()

    def _drop_unfinished_line(self) -> None:
        with self.path.open("a+b") as file:
            start = max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE)
            file.seek(start)
            file.truncate(start + file.read().rfind(b"\n") + 1)

    async def _sync(self) -> None:
        written = self._written
        await asyncio.to_thread(self._fsync, self._file.fileno())
        self._kept = written

    def _write(self, event: str, at: dt.datetime, **known: object) -> None:
        line = {"event": event, "at": at.isoformat(), **_NOTHING, **known}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        self._written += 1


# The fields of every line, in their order.
_NOTHING: dict[str, object] = {
    "account": None,
    "channel": None,
    "ref": None,
    "client_ref": None,
    "recipient": None,
    "units": None,
    "price": None,
    "amount": None,
    "currency": None,
    "received_at": None,
    "accepted_at": None,
    "code": "",
}


def _of_call(call: Call) -> dict[str, object]:
    return {
        "account": call.account,
        "channel": call.channel,
        "client_ref": call.client_ref,
        "recipient": call.phone,
        "received_at": call.received_at.isoformat(),
    }


def _of_message(message: Message) -> dict[str, object]:
    return {
        "account": message.account,
        "channel": message.channel,
        "ref": message.ref,
        "client_ref": message.client_ref,
        "recipient": message.phone,
        "units": message.bill.units,
        "price": _exact(message.bill.price),
        "currency": message.bill.currency,
        "received_at": message.received_at.isoformat(),
        "accepted_at": message.accepted_at.isoformat(),
    }


def _exact(amount: object) -> str | None:
    return None if amount is None else str(amount)
