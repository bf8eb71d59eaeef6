"""Notify (VK and OK): OAuth-signed forms, moderated texts, webhooks per message.

The wire is the one of docs/notify-wire.md; most of it is assumed there.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
import uuid

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from aiohttp import web

from cascade.sandbox.account import Account
from cascade.sandbox.courier import Courier, Plan
from cascade.sandbox.ledger import Call, Message
from cascade.sandbox.oauth import Signatures
from cascade.sandbox.outcomes import Channel, Outcome
from cascade.sandbox.phone import e164_of
from cascade.sandbox.prices import prices_of
from cascade.sandbox.refusal import Refusal
from cascade.sandbox.timeline import Fate
from cascade.sandbox.webhooks import Retries, Webhook


RETRIES = Retries(first=5, longest=3600, tries=10)

# Loopback, and the networks that containers are given.
_PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")

_TTL = range(15, 86400 + 1)
_DELIVERY_POLICIES = {"any", "mobile_device_required", "verified_phone_number"}
_LONGEST_ID = 64
_SECONDS = re.compile(r"[0-9]{1,5}")
_PLACE = re.compile(r"#(\w+)#")
_HTTP = {
    "UNSUPPORTED": 200,
    "UNSUPPORTED_TEMPLATE": 200,
    "INCORRECT_SIGNATURE": 401,
    "NOT_ALLOWED_IP": 403,
    "THROTTLED": 429,
    "UNAVAILABLE": 503,
}  # the others are 400
_STATUSES = {
    Fate.SENT: ("sent", ""),
    Fate.DELIVERED: ("delivered", ""),
    Fate.READ: ("read", ""),
    Fate.UNSUPPORTED: ("unsupported", "UNSUPPORTED"),
    Fate.EXPIRED: ("expired", "TTL"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """`templates` are the moderated texts by name, with `#name#` places; `allowed_ips` are
    addresses or networks.
    """

    client_key: str
    client_secret: str = field(repr=False)
    templates: Mapping[str, str]
    allowed_ips: tuple[str, ...] = _PRIVATE
    prices: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    message_id: str
    phone: str
    text: str
    ttl: int
    status_url: str | None


class Notify:
    """One account; its route is the network it sends to."""

    def __init__(
        self, name: str, channel: Channel, settings: NotifySettings, courier: Courier
    ) -> None:
        self._account = Account(name, channel, courier, prices_of(settings.prices))
        self._route = channel.upper()
        self._templates = settings.templates
        self._patterns = [_pattern_of(text) for text in settings.templates.values()]
        self._allowed = [ipaddress.ip_network(one) for one in settings.allowed_ips]
        self._signatures = Signatures(settings.client_key, settings.client_secret)

    def routes(self) -> list[web.RouteDef]:
        return [web.post(f"/{self._account.name}/notify", self.notify)]

    async def notify(self, request: web.Request) -> web.Response:
        """Takes one message or says why not."""
        body = (await request.read()).decode("utf-8", "replace")
        form = dict(parse_qsl(body, keep_blank_values=True))
        call = self._account.call(
            phone=e164_of(form.get("phone")),
            client_ref=form.get("message_id"),
            ttl=_seconds_of(form),
        )
        try:
            self._authenticate(request, body)
            order = self._order_of(form)
            plan = self._plan(order)
        except Refusal as refusal:
            return self._refused(call, refusal)
        reception = self._account.receive(order.phone, plan.outcome)
        self._account.take(
            call,
            reception,
            plan,
            self._tell,
            ref=order.message_id,
            phone=order.phone,
            text=order.text,
            status_url=order.status_url,
        )
        taken = web.json_response({"status": "ok", "message_id": order.message_id})
        return await self._account.answer(request, reception, taken)

    def _authenticate(self, request: web.Request, body: str) -> None:
        caller = ipaddress.ip_address(request.remote or "::")
        if not any(caller in network for network in self._allowed):
            raise Refusal("NOT_ALLOWED_IP")
        if not self._signatures.fit(str(request.url), body, request.headers):
            raise Refusal("INCORRECT_SIGNATURE")

    def _order_of(self, form: Mapping[str, str]) -> _Order:
        message_id = form.get("message_id") or uuid.uuid4().hex
        policy = form.get("delivery_policy", "any")
        if len(message_id) > _LONGEST_ID or policy not in _DELIVERY_POLICIES:
            raise Refusal("INVALID_REQUEST")
        if form.get("routes") != self._route:
            raise Refusal("INVALID_REQUEST")
        return _Order(
            message_id=message_id,
            phone=_phone_of(form),
            ttl=_ttl_of(form),
            text=self._text_of(form),
            status_url=form.get("status_url"),
        )

    def _text_of(self, form: Mapping[str, str]) -> str:
        """The words of the message: a text that fits a template, or a template filled."""
        if ("text" in form) == ("tmpl" in form):
            raise Refusal("INVALID_REQUEST")  # both, or neither
        if "tmpl" in form:
            return self._filled(form)
        if not any(pattern.fullmatch(form["text"]) for pattern in self._patterns):
            raise Refusal("UNSUPPORTED_TEMPLATE")
        return form["text"]

    def _filled(self, form: Mapping[str, str]) -> str:
        template = self._templates.get(form["tmpl"])
        values = _values_of(form.get("tmpl_data", "{}"))
        if template is None or set(_PLACE.findall(template)) != set(values):
            raise Refusal("UNSUPPORTED_TEMPLATE")
        return _PLACE.sub(lambda place: str(values[place[1]]), template)

    def _plan(self, order: _Order) -> Plan:
        plan = self._account.plan(order.phone, ttl=order.ttl)
        if plan.outcome is Outcome.NOT_A_USER_AT_ONCE:
            raise Refusal("UNSUPPORTED", event="unsupported")
        codes = {Outcome.THROTTLED: "THROTTLED", Outcome.UNAVAILABLE: "UNAVAILABLE"}
        code = codes.get(plan.outcome)
        key = (self._account.name, order.phone, order.message_id)
        if code and self._account.courier.is_to_be_refused(*key):
            raise Refusal(code)
        return plan

    def _refused(self, call: Call, refusal: Refusal) -> web.Response:
        self._account.refuse(call, refusal)
        return web.json_response(
            {"status": "error", "code": refusal.code},
            status=_HTTP.get(refusal.code, 400),
            headers={"Retry-After": "1"} if refusal.code == "THROTTLED" else None,
        )

    def _tell(self, message: Message, fate: Fate, at: dt.datetime) -> Webhook | None:
        if not message.status_url:
            return None
        status, code = _STATUSES[fate]
        told = {
            "message_id": message.ref,
            "status": status,
            "status_at": round(at.timestamp(), 3),
            "route": self._route,
            "code": code,
        }
        return Webhook(
            url=message.status_url,
            body=json.dumps(told).encode(),
            headers={"Content-Type": "application/json"},
            retries=RETRIES,
        )


def _phone_of(form: Mapping[str, str]) -> str:
    phone = e164_of(form.get("phone"))
    if phone is None:
        raise Refusal("INVALID_PHONE")
    return phone


def _ttl_of(form: Mapping[str, str]) -> int:
    ttl = _seconds_of(form)
    if ttl is None or ttl not in _TTL:
        raise Refusal("INVALID_TTL")
    return ttl


def _seconds_of(form: Mapping[str, str]) -> int | None:
    ttl = form.get("ttl", "")
    return int(ttl) if _SECONDS.fullmatch(ttl) else None


def _values_of(tmpl_data: str) -> Mapping[str, object]:
    try:
        values = json.loads(tmpl_data)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise Refusal("INVALID_REQUEST")
    return values


def _pattern_of(template: str) -> re.Pattern[str]:
    """What texts a moderated template allows: any words in its places, nothing else changed."""
    words = _PLACE.sub("#", template).split("#") if "#" in template else [template]
    return re.compile("(?:.+?)".join(map(re.escape, words)), re.DOTALL)
