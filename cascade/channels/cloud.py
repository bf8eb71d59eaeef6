"""WhatsApp by Meta's Cloud API (https://graph.facebook.com).

Wire facts: Meta's OpenAPI file business-messaging-api_v23.0; the codes' meanings as in pywa 4.5.
A TTL belongs to the template, not to the message, so a message may arrive after ours is over.
"""

from __future__ import annotations

import hashlib
import hmac
import json

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import ClassVar

from pydantic import BaseModel, Field

from cascade.channels.account import Account, Secret, Secrets
from cascade.channels.base import (
    Accepted,
    Capabilities,
    Correlation,
    ForgedWebhookError,
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
from cascade.channels.strict_json import loads, readable
from cascade.domain.message import Body, Template, Text
from cascade.domain.state import AttemptState, Channel


_PAIR_PAUSE = 6.0  # seconds between two messages to one person


def _pair_rate(code: str) -> Throttled:
    return Throttled(code, _PAIR_PAUSE)


_RESULTS: Results = {
    "4": Throttled,  # the app's calls
    "80007": Throttled,  # the business account's calls
    "130429": Throttled,  # the number's throughput
    "131056": _pair_rate,
    "2": Unavailable,
    "131000": Unavailable,  # "failed to send"
    "131016": Unavailable,
    "131057": Unavailable,  # account in maintenance
    "135000": Unavailable,
    "131026": Unsupported,  # no WhatsApp on this number
    "131021": Undeliverable,  # the recipient is the sender
    "130472": Undeliverable,  # the person is part of an experiment
    "131049": Undeliverable,  # Meta keeps the ecosystem healthy
    "131050": Undeliverable,  # the person stopped marketing messages
    **dict.fromkeys(("0", "190"), Rejected),  # access token
    **dict.fromkeys(("3", "10", "131005"), Rejected),  # permission
    **dict.fromkeys(map(str, range(200, 300)), Rejected),  # permission
    **dict.fromkeys(("33", "100", "131008", "131009"), Rejected),  # parameter
    **dict.fromkeys(("131048", "131064"), Rejected),  # the number's limits for a day or more
    **dict.fromkeys(("131030", "131047"), Rejected),  # test list; 24 h since the last reply
    **dict.fromkeys(("132000", "132001", "132005", "132007", "132008", "132012"), Rejected),
    **dict.fromkeys(("132015", "132016"), Rejected),  # template paused or disabled
    **dict.fromkeys(("131042", "131044"), Rejected),  # payment
    **dict.fromkeys(("368", "130497", "131031"), Rejected),  # account locked or restricted
    **dict.fromkeys(("131037", "131045"), Rejected),  # display name, certificate
    **dict.fromkeys(("131051", "131052", "131053"), Rejected),  # media
    **dict.fromkeys(("131062", "131063", "137000"), Rejected),
}

_STATES = {
    "sent": AttemptState.SENT,
    "delivered": AttemptState.DELIVERED,
    "read": AttemptState.READ,
    "played": AttemptState.READ,
    "failed": AttemptState.UNDELIVERABLE,
}

_HEADER = "x-hub-signature-256"
_SCHEME = "sha256="


class _Message(BaseModel):
    id: Ref


class _Sent(BaseModel):
    messages: list[_Message] = Field(min_length=1, max_length=1)


class _Error(BaseModel):
    code: int


class _Refusal(BaseModel):
    error: _Error


class _Change(BaseModel):
    field: str = ""
    value: dict[str, object] = {}


class _Entry(BaseModel):
    changes: list[_Change] = []


class _Notification(BaseModel):
    entry: list[_Entry]


class _Status(BaseModel):
    id: Ref
    status: str
    timestamp: str | int | None = None
    biz_opaque_callback_data: Ref | None = None
    errors: list[_Error] = []


class Cloud(Account):
    """One WhatsApp business number. `app_secrets` are all that may sign, for their rotation."""

    capabilities: ClassVar = Capabilities(
        ttl_minimum=0,
        ttl_maximum=2_592_000,
        read_receipts=True,
        late_delivery=True,
        correlation=Correlation.CLIENT_REF,
        text_maximum=4096,
    )
    channels: ClassVar = frozenset({Channel.WHATSAPP})

    version: str = Field(default="v23.0", pattern=r"^v\d+\.\d+$")
    phone_number_id: str = Field(pattern=r"^\d+$")
    access_token: Secret
    app_secrets: Secrets
    verify_token: Secret

    @property
    def token_digests(self) -> frozenset[bytes]:
        """None: Meta signs its webhooks."""
        return frozenset()

    @property
    def webhook_url(self) -> str:
        """Where its webhooks go; to be set in Meta's app."""
        return f"{self.gateway_url}/receipts/{self.account}"

    def requests_for(self, items: Sequence[Item]) -> list[HttpRequest[Item]]:
        """One call per item; the remaining time cannot be told."""
        return [self._request(item) for item in items]

    def results_of(self, request: HttpRequest[Item], response: HttpResponse) -> list[Result]:
        """The one item's result, by Meta's error code where there is one."""
        return [_result(response) for _ in request.items]

    def verify(self, webhook: Webhook) -> None:
        """Raises ForgedWebhookError unless one of the app secrets signed the raw body."""
        given = webhook.headers.get(_HEADER, "")
        genuine = [
            hmac.compare_digest(given.encode(), self._signature(secret, webhook.body))
            for secret in (each.get_secret_value() for each in self.app_secrets)
        ]
        if not any(genuine):
            raise ForgedWebhookError("the signature fits no active app secret")

    def parse(self, webhook: Webhook) -> list[Receipt]:
        """The statuses in `webhook`, none for other news; an unknown one is kept as `unknown`."""
        try:
            notification = _Notification.model_validate(loads(webhook.body))
            return [
                _receipt(status) for status in readable(_Status, list(_statuses(notification)))
            ]
        except ValueError:
            raise UnreadableWebhookError("no notification of WhatsApp") from None

    def handshake(self, query: Mapping[str, str]) -> str | None:
        """Meta's challenge, if it knows our verify token."""
        token = query.get("hub.verify_token", "").encode()
        known = hmac.compare_digest(token, self.verify_token.get_secret_value().encode())
        if not known or query.get("hub.mode") != "subscribe":
            return None
        return query.get("hub.challenge")

    def _request(self, item: Item) -> HttpRequest[Item]:
        return HttpRequest(
            method="POST",
            url=f"{self.base_url}/{self.version}/{self.phone_number_id}/messages",
            headers={
                "Authorization": f"Bearer {self.access_token.get_secret_value()}",
                "Content-Type": "application/json",
            },
            body=json.dumps(_message(item), ensure_ascii=False).encode(),
            items=(item,),
        )

    @staticmethod
    def _signature(secret: str, body: bytes) -> bytes:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return f"{_SCHEME}{digest}".encode()


def _message(item: Item) -> dict[str, object]:
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": item.phone.removeprefix("+"),
        **_content(item.body),
        "biz_opaque_callback_data": item.client_ref,  # echoed in every webhook
    }


def _content(body: Body) -> dict[str, object]:
    match body:
        case Text(text):
            return {"type": "text", "text": {"body": text, "preview_url": False}}
        case Template():
            return {"type": "template", "template": _template(body)}


def _template(template: Template) -> dict[str, object]:
    words: dict[str, object] = {
        "name": template.name,
        "language": {"code": template.language, "policy": "deterministic"},
    }
    if not template.parameters:
        return words
    parameters = [{"type": "text", "text": text} for text in template.parameters.values()]
    return {**words, "components": [{"type": "body", "parameters": parameters}]}


def _result(response: HttpResponse) -> Result:
    try:
        answer = loads(response.body)
        if response.status == HTTPStatus.OK:
            return Accepted((reference(_Sent.model_validate(answer).messages[0].id),))
        code = _Refusal.model_validate(answer).error.code
    except ValueError:
        return by_status(response)
    return refused(native_code(code), _RESULTS, response)


def reference(wamid: str) -> str:
    """A digest of Meta's message id: the id itself holds the phone number, in base64."""
    return hashlib.blake2b(wamid.encode(), digest_size=16).hexdigest()


def _statuses(notification: _Notification) -> Iterator[object]:
    for entry in notification.entry:
        for change in entry.changes:
            statuses = change.value.get("statuses")
            if change.field == "messages" and isinstance(statuses, list):
                yield from statuses


def _receipt(status: _Status) -> Receipt:
    code = native_code(status.errors[0].code) if status.errors else ""
    return Receipt(
        status=_state(status.status, code),
        native_status=native_code(status.status),
        native_code=code,
        client_ref=status.biz_opaque_callback_data,
        provider_ref=reference(status.id),
        event_at=instant(status.timestamp),
    )


def _state(status: str, code: str) -> AttemptState:
    state = _STATES.get(status, AttemptState.UNKNOWN)
    if state is not AttemptState.UNDELIVERABLE:
        return state
    kind = _RESULTS.get(code)
    if kind is Unsupported:
        return AttemptState.UNSUPPORTED
    return AttemptState.REJECTED if kind is Rejected else state
