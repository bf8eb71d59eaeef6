"""One account at one provider: its prices, and the way into the ledger."""

from __future__ import annotations

import math

from collections.abc import Sequence

from cascade.sandbox.clock import now
from cascade.sandbox.courier import Courier, Plan, Tell
from cascade.sandbox.ledger import Message
from cascade.sandbox.outcomes import Channel
from cascade.sandbox.prices import Price, bill_for
from cascade.sandbox.refusal import Refusal


class Account:
    """`name` is also the base path; everything it accepts or refuses is booked under it."""

    def __init__(
        self, name: str, channel: Channel, courier: Courier, prices: Sequence[Price]
    ) -> None:
        self.name = name
        self.channel = channel
        self.courier = courier
        self._prices = prices

    def plan(self, phone: str, *, ttl: float = math.inf) -> Plan:
        """What will become of a message to `phone` that lives `ttl` seconds."""
        return self.courier.plan(self.name, self.channel, phone, ttl=ttl)

    def accept(  # noqa: PLR0913  # what a message is
        self,
        plan: Plan,
        tell: Tell,
        *,
        ref: str,
        phone: str,
        text: str,
        client_ref: str | None = None,
        status_url: str | None = None,
    ) -> Message:
        """Books the message and lets its plan happen; `tell` makes webhooks of its events."""
        message = Message(
            account=self.name,
            channel=self.channel,
            ref=ref,
            client_ref=client_ref,
            phone=phone,
            accepted_at=now(),
            bill=bill_for(phone, text, self._prices),
            status_url=status_url,
        )
        self.courier.accept(message, plan.steps, tell)
        return message

    def refuse(self, refusal: Refusal, *, phone: str | None, client_ref: str | None) -> None:
        """Books that a request was refused."""
        self.courier.ledger.refuse(
            refusal.event,
            account=self.name,
            channel=self.channel,
            client_ref=client_ref,
            recipient=phone,
            code=refusal.code,
        )
