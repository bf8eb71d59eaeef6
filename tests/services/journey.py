"""Messages in a test's hand: sent, claimed, settled, heard of and ticked by the real services."""

from __future__ import annotations

import uuid

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Row, text

from cascade.channels.base import Receipt, Result
from cascade.channels.threaded import ThreadedTransport
from cascade.client import Cascade
from cascade.domain.policy import Policy, Step
from cascade.domain.state import AttemptState, Channel, Success
from cascade.services.collect import collect
from cascade.services.deployment import LEASE, Deployment, Ledger
from cascade.services.inbox import new_receipts
from cascade.services.settle import Settled, settle
from cascade.services.tick import tick
from cascade.storage.claim import Claimed, claim
from cascade.storage.database import transaction
from cascade.storage.inbox import store
from cascade.storage.policies import sync
from tests.services.courier import Courier, able


PHONE = "+79161234567"
WORDS = "Ваш заказ собран"

ACCOUNTS = {
    Channel.VK: "notify-vk",
    Channel.OK: "notify-ok",
    Channel.VIBER: "devino-viber",
    Channel.WHATSAPP: "cloud-whatsapp",
    Channel.SMS: "smsc",
}

TTL_MINIMA = {Channel.VK: 15, Channel.OK: 15, Channel.VIBER: 30}  # seconds


def a_step(
    channel: Channel,
    *,
    ttl: int = 60,
    ttl_minimum: int = 0,
    success: Success = Success.DELIVERED,
    max_wait: int | None = None,
) -> Step:
    return Step(
        channel=channel,
        account=ACCOUNTS[channel],
        ttl=ttl,
        ttl_minimum=ttl_minimum,
        success=success,
        max_wait=max_wait,
    )


class Journey:
    """One ledger and what happens on it. Time stands still but for `advance` (seconds)."""

    def __init__(self, ledger: Ledger, advance: Callable[[float], None]) -> None:
        self.ledger = ledger
        self.engine = ledger.engine
        self.advance = advance
        self.cascade = Cascade(ledger)
        # No call is made: settling looks at what the providers can.
        self._deployment = Deployment(
            ledger=ledger,
            adapters={
                account: Courier(
                    url="",
                    account=account,
                    channel=channel,
                    capabilities=able(ttl_minimum=TTL_MINIMA.get(channel, 0)),
                )
                for channel, account in ACCOUNTS.items()
            },
            transport=ThreadedTransport(flight=1),
            poll_transport=ThreadedTransport(flight=1),
        )

    def policy(self, *steps: Step, name: str = "default") -> None:
        transaction(self.engine, lambda c: sync(c, [Policy(name=name, steps=steps)]))

    def send(self, to: str = PHONE, **more: Any) -> uuid.UUID:
        return self.cascade.send(**{"to": to, "text": WORDS, **more})

    def attempts(self, message_id: uuid.UUID) -> Sequence[Row[Any]]:
        """In the order of the steps."""
        return self.rows(
            "SELECT * FROM cascade.attempts WHERE message_id = :id ORDER BY step", id=message_id
        )

    def attempt(self, message_id: uuid.UUID, step: int = -1) -> Row[Any]:
        """The newest, or that of a step."""
        return self.attempts(message_id)[step]

    def message(self, message_id: uuid.UUID) -> Row[Any]:
        return self.row("SELECT * FROM cascade.messages WHERE id = :id", id=message_id)

    def state(self, message_id: uuid.UUID, step: int = -1) -> str:
        return str(self.attempt(message_id, step).state)

    def charges(self) -> Sequence[Row[Any]]:
        return self.rows("SELECT * FROM cascade.charges ORDER BY attempt_id")

    def claim(self, *message_ids: uuid.UUID) -> list[Claimed]:
        """Claims the newest attempts of the messages."""
        ids = [self.attempt(one).id for one in message_ids]
        return transaction(self.engine, lambda c: claim(c, ids, lease=LEASE))

    def settle(self, *results: tuple[Claimed, Result]) -> Settled:
        return settle(self._deployment, results)

    def call(self, message_id: uuid.UUID, result: Result) -> Claimed:
        """Claims the newest attempt and settles it as if the provider had said `result`."""
        [claimed] = self.claim(message_id)
        self.settle((claimed, result))
        return claimed

    def hear(self, account: str, *receipts: Receipt) -> int:
        """Puts receipts into the inbox; returns how many were new."""
        new = new_receipts(self.ledger.keyring, account, receipts, b"{}")
        return transaction(self.engine, lambda c: store(c, new))

    def hear_of(
        self, message_id: uuid.UUID, status: AttemptState, *, step: int = -1, code: str = ""
    ) -> int:
        """A receipt with our own reference."""
        one = self.attempt(message_id, step)
        receipt = Receipt(
            status=status, native_status=status.value, native_code=code, client_ref=one.client_ref
        )
        return self.hear(one.account, receipt)

    def collect(self) -> Counter[str]:
        return collect(self.ledger)

    def deliver(self, message_id: uuid.UUID, *, step: int = -1) -> None:
        """Hears that it was delivered, and applies it."""
        self.hear_of(message_id, AttemptState.DELIVERED, step=step)
        self.collect()

    def tick(self, pollable: Sequence[str] = ()) -> Counter[str]:
        return tick(self.ledger, frozenset(pollable))

    def row(self, statement: str, **values: object) -> Row[Any]:
        [row] = self.rows(statement, **values)
        return row

    def rows(self, statement: str, **values: object) -> Sequence[Row[Any]]:
        with self.engine.begin() as connection:
            return connection.execute(text(statement), values).all()

    def change(self, statement: str, **values: object) -> int:
        with self.engine.begin() as connection:
            return connection.execute(text(statement), values).rowcount
