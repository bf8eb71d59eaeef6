"""One account at one provider: its prices, its faults, and the way into the ledger."""

from __future__ import annotations

import math

from collections.abc import Sequence

from aiohttp import web

from cascade.sandbox.answer import Reception, answer
from cascade.sandbox.clock import now
from cascade.sandbox.courier import Courier, Plan, Tell
from cascade.sandbox.faults import Ambiguity, Kind
from cascade.sandbox.ledger import Call, Message
from cascade.sandbox.outcomes import Channel, Outcome
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
        self._faults = courier.faults_of(name)
        self._prices = prices

    def plan(self, phone: str, *, ttl: float = math.inf) -> Plan:
        """What will become of a message to `phone` that lives `ttl` seconds."""
        return self.courier.plan(self.name, self.channel, phone, ttl=ttl)

    def call(self, *, phone: str | None, client_ref: str | None, ttl: float | None) -> Call:
        """A message that has just come in, as far as it can be read; `ttl` in seconds."""
        return Call(
            account=self.name,
            channel=self.channel,
            client_ref=client_ref,
            phone=phone,
            ttl=ttl,
            received_at=now(),
        )

    def refuse(self, call: Call, refusal: Refusal) -> None:
        """Books that the message was refused."""
        ledger = self.courier.ledger
        ledger.call(call, ref=None, accepted=False, code=refusal.code)
        ledger.refuse(refusal.event, call, code=refusal.code)

    def receive(self, phone: str, outcome: Outcome) -> Reception:
        """How a send to `phone` is received that the provider would accept."""
        if outcome is Outcome.SILENT:
            return Reception(ambiguity=Ambiguity(Kind.SILENT, accepted=True))
        early = outcome is Outcome.RECEIPT_FIRST or self._faults.is_early(phone)
        return Reception(ambiguity=self._faults.ambiguity(phone), early=early)

    def take(  # noqa: PLR0913  # what a message is
        self,
        call: Call,
        reception: Reception,
        plan: Plan,
        tell: Tell,
        *,
        ref: str,
        phone: str,
        text: str,
        status_url: str | None = None,
    ) -> None:
        """Books the message and, if it was accepted, lets its plan happen; `tell` makes webhooks."""
        self._book(call, reception, ref if reception.accepted else None)
        if not reception.accepted:
            return
        message = Message(
            account=self.name,
            channel=self.channel,
            ref=ref,
            client_ref=call.client_ref,
            phone=phone,
            received_at=call.received_at,
            accepted_at=now(),
            bill=bill_for(phone, text, self._prices),
            status_url=status_url,
        )
        self.courier.accept(message, plan.steps, tell, self._faults)

    async def answer(
        self, request: web.Request, reception: Reception, response: web.Response
    ) -> web.Response:
        """`response`, or what of it the reception lets through; all is on the disk before."""
        await self.courier.ledger.kept()
        return await answer(request, reception, response, self.courier.tempo)

    def _book(self, call: Call, reception: Reception, ref: str | None) -> None:
        ledger, ambiguity = self.courier.ledger, reception.ambiguity
        ledger.call(call, ref=ref, accepted=reception.accepted, code="")
        if ambiguity is not None:
            ledger.blur(call, ref=ref, kind=ambiguity.kind, accepted=ambiguity.accepted)
