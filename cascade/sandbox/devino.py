"""Devino's Viber service: bulk JSON, Basic auth, item codes by position, polls, callbacks.

Wire facts: Devino's `viber-resender` document. Assumed: the HTTP statuses of request-level
errors, and the item code of a text that is too long.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
import time

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from cascade.sandbox.account import Account
from cascade.sandbox.answer import Reception
from cascade.sandbox.courier import Courier, Plan
from cascade.sandbox.latest import Latest
from cascade.sandbox.ledger import Call, Message
from cascade.sandbox.outcomes import Channel, Outcome
from cascade.sandbox.phone import e164_of
from cascade.sandbox.prices import prices_of
from cascade.sandbox.refusal import Refusal
from cascade.sandbox.timeline import Fate, steps_of
from cascade.sandbox.webhooks import Retries, Webhook


RETRIES = Retries(first=10, longest=300, tries=290)  # a day

_LARGEST_CALL = 100
_LONGEST_TEXT = 1000
_LONGEST_SUBJECT = 11
_TTL = range(30, 86400 + 1)
_PRIORITIES = ("low", "normal", "high", "realtime")
_STATUSES = {
    Fate.SENT: ("sent", None),
    Fate.DELIVERED: ("delivered", None),
    Fate.READ: ("read", None),
    Fate.UNSUPPORTED: ("undelivered", "not-viber-user"),
    Fate.BLOCKED: ("undelivered", "user-blocked"),
    Fate.EXPIRED: ("vp_expired", None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DevinoSettings:
    """`subjects` are the registered senders."""

    login: str
    password: str = field(repr=False)
    subjects: tuple[str, ...]
    webhook_url: str = field(default="", repr=False)
    prices: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    call: Call
    phone: str
    text: str
    plan: Plan


class Devino:
    """One account."""

    def __init__(self, name: str, settings: DevinoSettings, courier: Courier) -> None:
        self._account = Account(name, Channel.VIBER, courier, prices_of(settings.prices))
        self._settings = settings
        credentials = f"{settings.login}:{settings.password}".encode()
        self._authorization = "Basic " + base64.b64encode(credentials).decode()
        self._latest = Latest()
        self._last_id = 0

    def routes(self) -> list[web.RouteDef]:
        base = f"/{self._account.name}"
        return [web.post(f"{base}/send", self.send), web.post(f"{base}/status", self.status)]

    async def send(self, request: web.Request) -> web.Response:
        """Takes up to 100 messages; each is answered with its own code, by position."""
        try:
            items = await self._items_of(request)
        except Refusal as refusal:
            return self._refused(refusal)
        orders = [self._judged(item) for item in items]
        reception = self._receive(orders)
        answers = [self._take(order, reception) for order in orders]
        taken = web.json_response({"status": "ok", "messages": answers})
        return await self._account.answer(request, reception, taken)

    async def status(self, request: web.Request) -> web.Response:
        """Says what is known of up to 100 messages."""
        try:
            payload = await self._payload_of(request)
        except Refusal as refusal:
            return _error(refusal)
        answers = [self._status_of(ref) for ref in payload["messages"]]
        return web.json_response({"status": "ok", "messages": answers})

    async def _payload_of(self, request: web.Request) -> Mapping[str, Any]:
        if request.headers.get("Authorization") != self._authorization:
            raise Refusal("error-auth")
        try:
            payload = json.loads(await request.read())
        except ValueError:
            payload = None
        if not isinstance(payload, dict) or not _is_a_call(payload.get("messages")):
            raise Refusal("error-syntax")
        return payload

    async def _items_of(self, request: web.Request) -> Sequence[Mapping[str, Any]]:
        """The messages of a call, each with the shared data that it does not override."""
        payload = await self._payload_of(request)
        shared = payload.get("commonData", {})
        items = payload["messages"]
        if not isinstance(shared, dict) or not all(isinstance(item, dict) for item in items):
            raise Refusal("error-syntax")
        return [{**shared, **item} for item in items]

    def _judged(self, item: Mapping[str, Any]) -> _Order | Refusal:
        call = _call_of(self._account, item)
        try:
            for check in (self._check_subject, _check_form, _check_ttl):
                check(item)
            phone, text = _phone_of(item), _text_of(item)
        except Refusal as refusal:
            self._account.refuse(call, refusal)
            return refusal
        plan = self._account.plan(phone, ttl=item["validityPeriodSec"])
        return _Order(call=call, phone=phone, text=text, plan=plan)

    def _check_subject(self, item: Mapping[str, Any]) -> None:
        subject = item.get("subject")
        if not subject:
            raise Refusal("error-subject-not-specified")
        if not isinstance(subject, str) or len(subject) > _LONGEST_SUBJECT:
            raise Refusal("error-subject-format")
        if subject not in self._settings.subjects:
            raise Refusal("error-subject-unknown")

    def _receive(self, orders: Sequence[_Order | Refusal]) -> Reception:
        """A call fares as its first message would alone; it is silent only if all messages are."""
        sound = [order for order in orders if isinstance(order, _Order)]
        if not sound:
            return Reception()
        silent = len(sound) == len(orders) and all(_is_silent(order) for order in sound)
        outcome = Outcome.SILENT if silent else Outcome.AT_ONCE
        return self._account.receive(sound[0].phone, outcome)

    def _take(self, order: _Order | Refusal, reception: Reception) -> Mapping[str, object]:
        if isinstance(order, Refusal):
            return {"code": order.code}
        ref = self._next_id()
        self._account.take(
            order.call,
            reception,
            order.plan if reception.ambiguity else self._answered(order.plan),
            self._tell,
            ref=str(ref),
            phone=order.phone,
            text=order.text,
        )
        return {"providerId": ref, "code": "ok"}

    def _answered(self, plan: Plan) -> Plan:
        """A silent number among others would silence its neighbours: it is delivered at once."""
        if plan.outcome is not Outcome.SILENT:
            return plan
        tempo = self._account.courier.tempo
        steps = steps_of(Outcome.AT_ONCE, ttl=_TTL.start, tempo=tempo, reads=True)
        return Plan(Outcome.AT_ONCE, steps)

    def _next_id(self) -> int:
        """Above 2**53, so that whoever reads it as a double loses its last digits."""
        self._last_id = max(self._last_id + 1, time.time_ns())
        return self._last_id

    def _refused(self, refusal: Refusal) -> web.Response:
        call = self._account.call(phone=None, client_ref=None, ttl=None)
        self._account.refuse(call, refusal)
        return _error(refusal)

    def _status_of(self, ref: object) -> Mapping[str, object]:
        known = self._latest.of(str(ref))
        if known is None:
            return {"providerId": ref, "code": "error-instant-message-provider-id-unknown"}
        fate, at = known
        status, error = _STATUSES[fate]
        answer = {"providerId": ref, "code": "ok", "status": status, "statusAt": _utc(at)}
        return answer if error is None else {**answer, "errorCode": error}

    def _tell(self, message: Message, fate: Fate, at: dt.datetime) -> Webhook | None:
        self._latest.hear(message.ref, fate, at)
        if fate is Fate.SENT or not self._settings.webhook_url:
            return None  # callbacks know no "sent"
        body = json.dumps([_callback(message, fate, at)]).encode()
        return Webhook(
            url=self._settings.webhook_url,
            body=body,
            headers={"Content-Type": "application/json"},
            retries=RETRIES,
        )


def _call_of(account: Account, item: Mapping[str, Any]) -> Call:
    ttl = item.get("validityPeriodSec")
    return account.call(
        phone=e164_of(item.get("address")),
        client_ref=item.get("comment"),
        ttl=ttl if isinstance(ttl, int) else None,
    )


def _callback(message: Message, fate: Fate, at: dt.datetime) -> Mapping[str, object]:
    """One event, in either of the spellings that Devino's documents use."""
    status, error = _STATUSES[fate]
    dice = random.Random(f"{message.phone}:{fate}")  # noqa: S311  # repeatable, not secret
    lower = dice.random() < 0.5  # noqa: PLR2004  # as often as not
    spell: Callable[[str], str] = str if lower else _upper
    event: dict[str, object] = {
        "messageId" if lower else "id": int(message.ref),
        "receivedAt": str(int(at.timestamp() * 1000)),
        "status": spell(status),
    }
    return event if error is None else {**event, "errorCode": spell(error)}


def _is_a_call(messages: object) -> bool:
    return isinstance(messages, list) and 0 < len(messages) <= _LARGEST_CALL


def _is_silent(order: _Order | Refusal) -> bool:
    return isinstance(order, _Order) and order.plan.outcome is Outcome.SILENT


def _check_form(item: Mapping[str, Any]) -> None:
    if item.get("priority") not in _PRIORITIES:
        raise Refusal("error-priority-format")
    if item.get("type") != "viber":
        raise Refusal("error-instant-message-type-format")
    if item.get("contentType") != "text":
        raise Refusal("error-content-type-format")


def _check_ttl(item: Mapping[str, Any]) -> None:
    ttl = item.get("validityPeriodSec")
    if not isinstance(ttl, int) or ttl not in _TTL:
        raise Refusal("error-validity-period-seconds-format")


def _phone_of(item: Mapping[str, Any]) -> str:
    if not item.get("address"):
        raise Refusal("error-address-not-specified")
    phone = e164_of(item["address"])
    if phone is None:
        raise Refusal("error-address-format")
    return phone


def _text_of(item: Mapping[str, Any]) -> str:
    content = item.get("content")
    text = content.get("text") if isinstance(content, dict) else None
    if not isinstance(text, str) or not text:
        raise Refusal("error-content-not-specified")
    if len(text) > _LONGEST_TEXT:
        raise Refusal("error-content-type-format")
    return text


def _error(refusal: Refusal) -> web.Response:
    http = 401 if refusal.code == "error-auth" else 400
    return web.json_response({"status": refusal.code, "messages": []}, status=http)


def _upper(word: str) -> str:
    return word.upper().replace("-", "_")


def _utc(at: dt.datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
