"""Notify: VK and OK by phone number. Its wire, stated and assumed, is in docs/notify-wire.md."""

from __future__ import annotations

import json

from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import ClassVar

from pydantic import BaseModel

from cascade.channels.account import Name, Secret, UnsignedAccount
from cascade.channels.base import (
    Accepted,
    Capabilities,
    Correlation,
    HttpRequest,
    HttpResponse,
    Item,
    Receipt,
    Rejected,
    Result,
    Throttled,
    Unavailable,
    Undeliverable,
    UnreadableWebhookError,
    Unsupported,
    Webhook,
)
from cascade.channels.http_status import Results, by_status, refused
from cascade.channels.native import Ref, instant, native_code
from cascade.channels.oauth import sign
from cascade.channels.strict_json import loads
from cascade.domain.message import Template, Text
from cascade.domain.state import AttemptState, Channel


_RESULTS: Results = {
    "UNSUPPORTED": Unsupported,  # not registered or long away; may register any moment
    "UNSUPPORTED_TEMPLATE": Rejected,  # the text fits no template
    "INCORRECT_SIGNATURE": Rejected,
    "NOT_ALLOWED_IP": Rejected,
    "INVALID_TTL": Rejected,
    "INVALID_REQUEST": Rejected,
    "INVALID_PHONE": Undeliverable,
    "THROTTLED": Throttled,
    "UNAVAILABLE": Unavailable,  # comes with 503 and says that nothing was accepted
}

_STATES = {
    "sent": AttemptState.SENT,
    "delivered": AttemptState.DELIVERED,
    "read": AttemptState.READ,
    "unsupported": AttemptState.UNSUPPORTED,
    "undelivered": AttemptState.UNDELIVERABLE,
    "expired": AttemptState.EXPIRED,
}

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class DeliveryPolicy(StrEnum):
    """Which users Notify delivers to."""

    ANY = "any"
    MOBILE_DEVICE_REQUIRED = "mobile_device_required"  # the app was used in the last 7 days
    VERIFIED_PHONE_NUMBER = "verified_phone_number"


class _Answer(BaseModel):
    status: str
    code: str = ""
    message_id: str = ""


class _Status(BaseModel):
    message_id: Ref
    status: str
    status_at: float | str | None = None
    code: str | None = None


class Notify(UnsignedAccount):
    """One account at Notify that serves VK or OK. Delivered messages are billed, once each."""

    capabilities: ClassVar = Capabilities(
        ttl_minimum=15,
        ttl_maximum=86_400,
        read_receipts=True,
        late_delivery=False,  # Notify withdraws the message when its ttl is over
        correlation=Correlation.CLIENT_REF,
        text_maximum=2048,
    )
    channels: ClassVar = frozenset({Channel.VK, Channel.OK})
    gives_token: ClassVar = True

    client_key: Name
    client_secret: Secret
    service: Name
    delivery_policy: DeliveryPolicy = DeliveryPolicy.ANY

    def requests_for(self, items: Sequence[Item]) -> list[HttpRequest[Item]]:
        """One signed form per item; a nonce and a timestamp are drawn anew each time."""
        return [self._request(item) for item in items]

    def results_of(self, request: HttpRequest[Item], response: HttpResponse) -> list[Result]:
        """The one item's result; an acceptance must echo our reference."""
        return [_result(item, response) for item in request.items]

    def parse(self, webhook: Webhook) -> list[Receipt]:
        """The one status in `webhook`; a status we do not know is kept as `unknown`."""
        try:
            status = _Status.model_validate(loads(webhook.body))
        except ValueError:
            raise UnreadableWebhookError("not a status of Notify") from None
        return [_receipt(status)]

    def _request(self, item: Item) -> HttpRequest[Item]:
        url, secret = f"{self.base_url}/notify", self.client_secret.get_secret_value()
        signed = sign(url, _form(item), self._fixed(), key=self.client_key, secret=secret)
        return HttpRequest(
            method="POST",
            url=url,
            headers={**_FORM, "Authorization": signed.authorization},
            body=signed.body,
            items=(item,),
        )

    def _fixed(self) -> dict[str, str]:
        """What all its forms say."""
        return {
            "delivery_policy": self.delivery_policy.value,
            "service": self.service,
            "routes": self.channel.value.upper(),
            "status_url": self.webhook_url,
        }


def _form(item: Item) -> dict[str, str]:
    return {
        "phone": item.phone.removeprefix("+"),
        **_content(item),
        "ttl": str(item.ttl),
        "message_id": item.client_ref,
    }


def _content(item: Item) -> dict[str, str]:
    match item.body:
        case Text(text):
            return {"text": text}
        case Template(name, _, parameters):
            return {"tmpl": name, "tmpl_data": json.dumps(dict(parameters), ensure_ascii=False)}


def _result(item: Item, response: HttpResponse) -> Result:
    try:
        answer = _Answer.model_validate(loads(response.body))
    except ValueError:
        return by_status(response)
    if _is_taken(answer, item, response):
        return Accepted()
    return refused(native_code(answer.code), _RESULTS, response)


def _is_taken(answer: _Answer, item: Item, response: HttpResponse) -> bool:
    echoed = answer.message_id == item.client_ref
    return response.status == HTTPStatus.OK and answer.status == "ok" and echoed


def _receipt(status: _Status) -> Receipt:
    return Receipt(
        status=_STATES.get(status.status, AttemptState.UNKNOWN),
        native_status=native_code(status.status),
        native_code=native_code(status.code),
        client_ref=status.message_id,
        event_at=instant(status.status_at),
    )
