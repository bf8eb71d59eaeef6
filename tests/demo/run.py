"""A small run: a real database, and the sandbox's own ledger beside it, without processes."""

from __future__ import annotations

import datetime as dt
import json
import uuid

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from cascade.channels.base import Receipt
from cascade.client import Cascade
from cascade.domain.engine import RECEIPT_GRACE
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState, Channel
from cascade.sandbox.ledger import Ledger as SandboxLedger, Message
from cascade.sandbox.prices import Bill
from cascade.services.collect import collect
from cascade.services.deployment import Ledger
from cascade.services.inbox import new_receipts
from cascade.services.sealed import open_recipient
from cascade.services.tick import tick
from cascade.storage import inbox
from cascade.storage.claim import Claimed, claim
from cascade.storage.database import now, transaction
from cascade.storage.settle import Taken, Unclear, settle_taken, settle_unclear
from demo.figures import ChannelFigures, Figures, read_figures


T = TypeVar("T")

ANNA, BORIS, CLARA = "+79161110001", "+79161110002", "+79161110003"
TEXT = "Ваш заказ собран"

# What the sandbox charges a Russian number: the rates of config/rates.csv.
PRICES = {"vk": "0.30", "ok": "0.30", "viber": "1.20", "whatsapp": "1.80", "sms": "2.00"}
CHANNELS = {"notify-vk": "vk", "notify-ok": "ok", "devino-viber": "viber", "smsc": "sms"}


@dataclass(slots=True)
class Run:
    """Plays worker, provider and webhook; each step is really written."""

    ledger: Ledger
    hints: list[Hint]
    advance_clock: Callable[[float], None]
    path: Path
    book: SandboxLedger = field(init=False)

    def __post_init__(self) -> None:
        self.book = SandboxLedger(self.path)
        self.book.open()

    def send(self, phone: str, *, policy: str = "default", text: str = TEXT) -> uuid.UUID:
        return Cascade(self.ledger).send(to=phone, text=text, policy=policy)

    def call(self) -> list[Claimed]:
        """Claims everything that was hinted at."""
        ids = [hint.attempt_id for hint in self.hints]
        self.hints.clear()
        return self._write(lambda c: claim(c, ids, lease=9.0))

    def call_one(self, phone: str, *, policy: str = "default") -> Claimed:
        """Sends a message and claims its first attempt."""
        self.send(phone, policy=policy)
        [one] = self.call()
        return one

    def take(self, one: Claimed, ref: str) -> Message:
        """The provider takes it, and we hear so."""
        taken = Taken(
            attempt_id=one.attempt_id, account=one.account, tries=one.tries, refs=(ref,), ttl=30
        )
        self._write(lambda c: settle_taken(c, [taken], RECEIPT_GRACE))
        return self.accept(one, ref)

    def lose_answer(self, one: Claimed) -> None:
        """Nobody knows whether the provider took it."""
        unclear = Unclear(attempt_id=one.attempt_id, tries=one.tries, code="timeout", ttl=30)
        self._write(lambda c: settle_unclear(c, [unclear], RECEIPT_GRACE))

    def accept(self, one: Claimed, ref: str, *, price: str | None = None) -> Message:
        """The sandbox's half of `take`."""
        channel = CHANNELS[one.account]
        message = Message(
            account=one.account,
            channel=channel,
            ref=ref,
            client_ref=one.client_ref,
            phone=open_recipient(self.ledger.keyring, one.message_id, one.recipient),
            received_at=self.now(),
            accepted_at=self.now(),
            bill=Bill(units=1, price=Decimal(price or PRICES[channel]), currency="RUB"),
            status_url=None,
        )
        self.book.book("accepted", message, at=message.accepted_at)
        return message

    def bill(self, message: Message) -> None:
        """The sandbox delivers it; nobody is told."""
        self.book.book("delivered", message, at=self.now())

    def deliver(self, message: Message) -> None:
        """The sandbox delivers it, and its receipt is applied."""
        self.bill(message)
        self.tell(message, AttemptState.DELIVERED)

    def tell(self, message: Message, status: AttemptState) -> None:
        """A webhook comes and is applied."""
        self.store(message, status)
        collect(self.ledger)

    def store(self, message: Message, status: AttemptState) -> None:
        """A webhook comes; Devino's receipts carry its own reference only."""
        echoed = None if message.account == "devino-viber" else message.client_ref
        receipt = Receipt(
            status=status, native_status=status.value, client_ref=echoed, provider_ref=message.ref
        )
        new = new_receipts(self.ledger.keyring, message.account, [receipt], b"{}")
        self._write(lambda c: inbox.store(c, new))

    def defer(self) -> None:
        """The collector looks at the receipts in the inbox, and cannot apply them yet."""
        self._write(lambda c: inbox.defer(c, inbox.take(c, 100)))

    def expire(self) -> None:
        """All that waits has waited long enough."""
        self.advance_clock(120)
        tick(self.ledger, frozenset())

    def figures(self, *, pending: int = 0) -> Figures:
        return read_figures(self.ledger, self.path, pending=pending, seconds=12.5)

    def now(self) -> dt.datetime:
        return self._write(now)

    def forget_charges(self) -> None:
        with self.ledger.engine.begin() as connection:
            connection.execute(text("DELETE FROM cascade.charges"))

    def alter_line(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Changes the ledger's first delivered line behind everybody's back."""
        events = [json.loads(line) for line in self.path.read_text().splitlines()]
        change(next(event for event in events if event["event"] == "delivered"))
        self.path.write_text("".join(json.dumps(event) + "\n" for event in events))

    def _write(self, work: Callable[[Connection], T]) -> T:
        return transaction(self.ledger.engine, work)


def channel_of(figures: Figures, channel: Channel) -> ChannelFigures:
    return next(one for one in figures.channels if one.channel is channel)
