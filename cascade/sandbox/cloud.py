"""WhatsApp Cloud API: one recipient a call, templates or an open window, signed webhooks.

Wire facts: Meta's OpenAPI file and error-code pages. The HTTP status of an error is Meta's where
known; receivers should look at the code.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import time

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from cascade.sandbox.account import Account
from cascade.sandbox.courier import Courier, Plan
from cascade.sandbox.ledger import Call, Message
from cascade.sandbox.outcomes import Channel, Outcome
from cascade.sandbox.phone import e164_of
from cascade.sandbox.prices import prices_of
from cascade.sandbox.refusal import Refusal
from cascade.sandbox.timeline import Fate
from cascade.sandbox.webhooks import Retries, Webhook


RETRIES = Retries(first=5, longest=3600, tries=175)  # seven days

_WINDOW = 24 * 3600  # seconds after a person's last word
_ERRORS = {
    "100": (400, "Invalid parameter"),
    "190": (401, "Invalid OAuth access token"),
    "130429": (429, "Rate limit hit"),
    "131009": (400, "Parameter value is not valid"),
    "131047": (400, "Re-engagement message"),
    "132000": (400, "Number of parameters does not match the expected number of params"),
    "132001": (404, "Template name does not exist in the translation"),
    "132015": (400, "Template is paused"),
}
_STATUSES = {
    Fate.SENT: "sent",
    Fate.DELIVERED: "delivered",
    Fate.READ: "read",
    Fate.UNSUPPORTED: "failed",
}
_UNDELIVERABLE = {
    "code": 131026,
    "title": "Message undeliverable",
    "message": "Message undeliverable",
    "error_data": {"details": "Message Undeliverable."},
    "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudSettings:
    """`templates` have a name, a language and the number of the body's parameters.

    `open_windows` are phones (E.164) whose 24 h window is open from the start.
    """

    token: str = field(repr=False)
    app_secret: str = field(repr=False)
    phone_number_id: str
    verify_token: str = field(default="", repr=False)
    webhook_url: str = field(default="", repr=False)
    templates: tuple[Mapping[str, Any], ...] = ()
    open_windows: tuple[str, ...] = field(default=(), repr=False)
    prices: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    phone: str
    text: str
    echo: str | None


class Cloud:
    """One business number."""

    def __init__(self, name: str, settings: CloudSettings, courier: Courier) -> None:
        self._account = Account(name, Channel.WHATSAPP, courier, prices_of(settings.prices))
        self._settings = settings
        self._templates = {
            (template["name"], template["language"]): template["parameters"]
            for template in settings.templates
        }
        self._windows = {phone: time.time() + _WINDOW for phone in settings.open_windows}

    def routes(self) -> list[web.RouteDef]:
        path = f"/{self._account.name}/{{version}}/{{phone_number_id}}/messages"
        return [
            web.post(path, self.send),
            web.post("/control/inbound", self.inbound),
            web.post("/control/handshake", self.handshake),
        ]

    async def send(self, request: web.Request) -> web.Response:
        """Takes one message or answers with one of Meta's errors."""
        payload = await _payload_of(request)
        echo = payload.get("biz_opaque_callback_data")
        call = self._account.call(phone=_phone_of(payload), client_ref=echo, ttl=None)
        try:
            self._authenticate(request)
            order = self._order_of(payload)
            plan = self._plan(order)
        except Refusal as refusal:
            return self._refused(call, refusal)
        ref = _wamid(order.phone)
        reception = self._account.receive(order.phone, plan.outcome)
        self._account.take(
            call, reception, plan, self._tell, ref=ref, phone=order.phone, text=order.text
        )
        taken = web.json_response(_taken(order.phone, ref))
        return await self._account.answer(request, reception, taken)

    async def inbound(self, request: web.Request) -> web.Response:
        """Control: the person at `phone` writes to the business, which opens the window."""
        phone = (await _payload_of(request)).get("phone")
        if not isinstance(phone, str):
            return web.json_response({"error": "phone is missing"}, status=400)
        self._windows[phone] = time.time() + _WINDOW
        return web.json_response({"phone": phone})

    async def handshake(self, _: web.Request) -> web.Response:
        """Control: Meta's GET with a challenge, as when a webhook address is registered."""
        challenge = secrets.token_hex(8)
        query = {
            "hub.mode": "subscribe",
            "hub.verify_token": self._settings.verify_token,
            "hub.challenge": challenge,
        }
        webhooks = self._account.courier.webhooks
        answer = await webhooks.handshake(self._settings.webhook_url, query)
        return web.json_response({"verified": answer == challenge})

    def _authenticate(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self._settings.token}":
            raise Refusal("190")
        if request.match_info["phone_number_id"] != self._settings.phone_number_id:
            raise Refusal("100")

    def _order_of(self, payload: Mapping[str, Any]) -> _Order:
        if payload.get("messaging_product") != "whatsapp":
            raise Refusal("100")
        phone = _phone_of(payload)
        if phone is None:
            raise Refusal("131009")
        echo = payload.get("biz_opaque_callback_data")
        return _Order(phone=phone, text=self._text_of(payload, phone), echo=echo)

    def _text_of(self, payload: Mapping[str, Any], phone: str) -> str:
        kind = payload.get("type")
        content = payload.get(kind) if isinstance(kind, str) else None
        if kind not in {"text", "template"} or not isinstance(content, dict):
            raise Refusal("100")
        if kind == "template":
            self._check_template(content)
            return str(content["name"])
        if self._windows.get(phone, 0.0) < time.time():
            raise Refusal("131047")
        return str(content.get("body", ""))

    def _check_template(self, template: Mapping[str, Any]) -> None:
        language = template.get("language")
        code = language.get("code") if isinstance(language, dict) else None
        expected = self._templates.get((str(template.get("name")), str(code)))
        if expected is None:
            raise Refusal("132001")
        if _count_of_parameters(template) != expected:
            raise Refusal("132000")

    def _plan(self, order: _Order) -> Plan:
        plan = self._account.plan(order.phone)
        if plan.outcome is Outcome.TEMPLATE_PAUSED:
            raise Refusal("132015")
        key = (self._account.name, order.phone, order.echo or order.text)
        if plan.outcome is Outcome.THROTTLED and self._account.courier.is_to_be_refused(*key):
            raise Refusal("130429")
        return plan

    def _refused(self, call: Call, refusal: Refusal) -> web.Response:
        self._account.refuse(call, refusal)
        status, title = _ERRORS[refusal.code]
        error = {
            "message": f"(#{refusal.code}) {title}",
            "type": "OAuthException",
            "code": int(refusal.code),
            "error_data": {"messaging_product": "whatsapp", "details": title},
            "fbtrace_id": secrets.token_urlsafe(8),
        }
        return web.json_response({"error": error}, status=status)

    def _tell(self, message: Message, fate: Fate, at: dt.datetime) -> Webhook | None:
        if not self._settings.webhook_url:
            return None
        body = json.dumps(self._webhook(_status_of(message, fate, at))).encode()
        signature = hmac.new(self._settings.app_secret.encode(), body, hashlib.sha256)
        return Webhook(
            url=self._settings.webhook_url,
            body=body,
            headers={
                "Content-Type": "application/json",
                "X-Hub-Signature-256": f"sha256={signature.hexdigest()}",
            },
            retries=RETRIES,
        )

    def _webhook(self, status: Mapping[str, Any]) -> Mapping[str, Any]:
        value = {
            "messaging_product": "whatsapp",
            "metadata": {
                "display_phone_number": "15550000000",
                "phone_number_id": self._settings.phone_number_id,
            },
            "statuses": [status],
        }
        change = {"field": "messages", "value": value}
        entry = {"id": "100000000000000", "changes": [change]}
        return {"object": "whatsapp_business_account", "entry": [entry]}


async def _payload_of(request: web.Request) -> Mapping[str, Any]:
    """The request's JSON object; whatever else it holds reads as an empty one."""
    try:
        payload = json.loads(await request.read())
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _phone_of(payload: Mapping[str, Any]) -> str | None:
    to = payload.get("to")
    return e164_of(to.removeprefix("+")) if isinstance(to, str) else None


def _count_of_parameters(template: Mapping[str, Any]) -> int:
    components = template.get("components") or []
    bodies = [part for part in components if isinstance(part, dict) and part.get("type") == "body"]
    return sum(len(body.get("parameters", ())) for body in bodies)


def _wamid(phone: str) -> str:
    """An id built like Meta's: base64 of lengths, the phone number's digits, and the message's own."""
    digits = phone.lstrip("+").encode()
    own = secrets.token_hex(16).upper().encode()
    parts = b"\x1d\x18" + bytes([len(digits)]) + digits + b"\x15\x02\x00\x11\x18" + own + b"\x00"
    return "wamid." + base64.b64encode(parts).decode()


def _taken(phone: str, ref: str) -> Mapping[str, Any]:
    digits = phone.removeprefix("+")
    return {
        "messaging_product": "whatsapp",
        "contacts": [{"input": digits, "wa_id": digits}],
        "messages": [{"id": ref, "message_status": "accepted"}],
    }


def _status_of(message: Message, fate: Fate, at: dt.datetime) -> Mapping[str, Any]:
    status: dict[str, Any] = {
        "id": message.ref,
        "status": _STATUSES[fate],
        "timestamp": str(int(at.timestamp())),
        "recipient_id": message.phone.removeprefix("+"),
    }
    if message.client_ref is not None:
        status["biz_opaque_callback_data"] = message.client_ref
    if fate is Fate.UNSUPPORTED:
        return {**status, "errors": [_UNDELIVERABLE]}
    pricing = {"billable": True, "pricing_model": "PMP", "category": "utility", "type": "regular"}
    return {**status, "pricing": pricing}
