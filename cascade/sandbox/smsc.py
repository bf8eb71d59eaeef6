"""SMSC.ru: forms in, fmt=3 JSON out, our own id, form webhooks.

Wire facts: SMSC.ru's pages on sending, statuses and callbacks. Assumed: that status 0 is called
back too, and the callback's `time` (Moscow time, DD.MM.YYYY hh:mm:ss) and `ts` (Unix seconds). One
phone a call; `fmt=3` and `charset=utf-8` only.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from cascade.sandbox.account import Account
from cascade.sandbox.courier import Courier, Plan
from cascade.sandbox.latest import Latest
from cascade.sandbox.ledger import Call, Message
from cascade.sandbox.outcomes import Channel, Outcome
from cascade.sandbox.phone import e164_of
from cascade.sandbox.prices import prices_of, segments_of
from cascade.sandbox.recent import Recent
from cascade.sandbox.refusal import Refusal
from cascade.sandbox.timeline import Fate
from cascade.sandbox.webhooks import Retries, Webhook


RETRIES = Retries(first=10, longest=900, tries=60)  # half a day

_LONGEST_ID = 40
_LONGEST_TEXT = 1000
_SAME_AGAIN = 60  # seconds
_MOSCOW = dt.timezone(dt.timedelta(hours=3))
_VALID = re.compile(r"(\d\d?)(?::(\d\d))?")  # hours, or hh:mm
_ERRORS = {
    "1": "parameters error",
    "2": "authorise error",
    "6": "message is denied",
    "7": "invalid number",
    "8": "can not deliver to number",
    "9": "duplicate request, wait a minute",
}
_STATUSES = {
    Fate.SENT: ("0", "0"),
    Fate.DELIVERED: ("1", "0"),
    Fate.EXPIRED: ("3", "6"),
    Fate.UNDELIVERABLE: ("20", "1"),
}  # status and err


@dataclass(frozen=True, slots=True, kw_only=True)
class SmscSettings:
    """`senders` are the registered sender names."""

    login: str
    password: str = field(repr=False)
    senders: tuple[str, ...]
    webhook_url: str = field(default="", repr=False)
    prices: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    ref: str
    phone: str
    text: str
    ttl: float


class Smsc:
    """One account."""

    def __init__(self, name: str, settings: SmscSettings, courier: Courier) -> None:
        self._account = Account(name, Channel.SMS, courier, prices_of(settings.prices))
        self._settings = settings
        self._latest = Latest()
        self._texts = Recent(_SAME_AGAIN * courier.tempo.second)
        self._ids = itertools.count(1)

    def routes(self) -> list[web.RouteDef]:
        base = f"/{self._account.name}/sys"
        return [
            web.post(f"{base}/send.php", self.send),
            web.post(f"{base}/status.php", self.status),
        ]

    async def send(self, request: web.Request) -> web.Response:
        """Takes one SMS or answers with an error_code."""
        form = await _form_of(request)
        call = self._account.call(
            phone=_phone_of(form), client_ref=form.get("id"), ttl=_seconds_of(form)
        )
        try:
            self._authenticate(form)
            order = self._order_of(form)
            plan = self._plan(order)
        except Refusal as refusal:
            return self._refused(call, refusal)
        reception = self._account.receive(order.phone, plan.outcome)
        if not reception.accepted:
            self._texts.forget((order.phone, order.text))
        self._account.take(
            call, reception, plan, self._tell, ref=order.ref, phone=order.phone, text=order.text
        )
        taken = web.json_response({"id": order.ref, "cnt": segments_of(order.text)})
        return await self._account.answer(request, reception, taken)

    async def status(self, request: web.Request) -> web.Response:
        """Says what is known of one id, or of several separated by commas."""
        form = await _form_of(request)
        try:
            self._authenticate(form)
        except Refusal as refusal:
            return _error(refusal)
        refs, phones = form.get("id", "").split(","), form.get("phone", "").split(",")
        if len(refs) == 1:
            return web.json_response(self._status_of(refs[0]))
        pairs = [(ref, phone) for ref, phone in zip(refs, phones, strict=False) if ref]
        answers = [{"id": ref, "phone": phone, **self._status_of(ref)} for ref, phone in pairs]
        return web.json_response(answers)

    def _authenticate(self, form: Mapping[str, str]) -> None:
        if (form.get("login"), form.get("psw")) != (
            self._settings.login,
            self._settings.password,
        ):
            raise Refusal("2")

    def _order_of(self, form: Mapping[str, str]) -> _Order:
        text, ref = form.get("mes", ""), form.get("id") or str(next(self._ids))
        if not 0 < len(text) <= _LONGEST_TEXT or len(ref) > _LONGEST_ID:
            raise Refusal("1")
        if form.get("fmt") != "3" or form.get("charset") != "utf-8":
            raise Refusal("1")
        phone = _phone_of(form)
        if phone is None:
            raise Refusal("7")
        if form.get("sender") not in self._settings.senders:
            raise Refusal("6")
        return _Order(ref=ref, phone=phone, text=text, ttl=_ttl_of(form))

    def _plan(self, order: _Order) -> Plan:
        plan = self._account.plan(order.phone, ttl=order.ttl)
        if plan.outcome is Outcome.UNDELIVERABLE_AT_ONCE:
            raise Refusal("8", event="undeliverable")
        key = (self._account.name, order.phone, order.ref)
        if plan.outcome is Outcome.THROTTLED and self._account.courier.is_to_be_refused(*key):
            raise Refusal("9")
        if not self._texts.is_new((order.phone, order.text)):
            raise Refusal("9")
        return plan

    def _refused(self, call: Call, refusal: Refusal) -> web.Response:
        self._account.refuse(call, refusal)
        return _error(refusal)

    def _status_of(self, ref: str) -> Mapping[str, object]:
        known = self._latest.of(ref)
        if known is None:
            return {"status": -3, "last_date": "", "last_timestamp": 0, "err": 0}
        fate, at = known
        status, err = _STATUSES[fate]
        return {
            "status": int(status),
            "last_date": _moscow(at),
            "last_timestamp": int(at.timestamp()),
            "err": int(err),
        }

    def _tell(self, message: Message, fate: Fate, at: dt.datetime) -> Webhook | None:
        self._latest.hear(message.ref, fate, at)
        if not self._settings.webhook_url:
            return None
        status, err = _STATUSES[fate]
        told = {
            "id": message.ref,
            "phone": message.phone.removeprefix("+"),
            "status": status,
            "time": _moscow(at),
            "ts": str(int(at.timestamp())),
            "err": err,
            "cnt": str(message.bill.units),
        }
        return Webhook(
            url=self._settings.webhook_url,
            body=urlencode(told).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            retries=RETRIES,
        )


async def _form_of(request: web.Request) -> Mapping[str, str]:
    body = (await request.read()).decode("utf-8", "replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def _phone_of(form: Mapping[str, str]) -> str | None:
    return e164_of(form.get("phones", "").removeprefix("+"))


def _ttl_of(form: Mapping[str, str]) -> float:
    """Seconds of `valid` (up to a day); infinite without it."""
    if "valid" not in form:
        return math.inf
    seconds = _seconds_of(form)
    if seconds is None or not 0 < seconds <= 24 * 3600:
        raise Refusal("1")
    return seconds


def _seconds_of(form: Mapping[str, str]) -> int | None:
    """`valid` is hours, or hh:mm."""
    valid = _VALID.fullmatch(form.get("valid", ""))
    return int(valid[1]) * 3600 + int(valid[2] or 0) * 60 if valid else None


def _error(refusal: Refusal) -> web.Response:
    """SMSC.ru answers its errors with HTTP 200."""
    return web.json_response({"error": _ERRORS[refusal.code], "error_code": int(refusal.code)})


def _moscow(at: dt.datetime) -> str:
    return at.astimezone(_MOSCOW).strftime("%d.%m.%Y %H:%M:%S")
