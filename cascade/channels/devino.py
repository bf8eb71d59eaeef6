"""Devino Viber, the first generation of its API (https://viber.devinotele.com:444).

Wire facts: "Viber HTTP API" in github.com/devinotelecom/docs. Receipts carry Devino's own id only,
so a send whose answer is lost can never be matched. Webhooks are unsigned, retried for 24 hours.
"""

from __future__ import annotations

import base64
import json

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field

from cascade.channels.account import Name, Secret, UnsignedAccount, text_of
from cascade.channels.base import (
    Accepted,
    Capabilities,
    Correlation,
    HttpRequest,
    HttpResponse,
    Item,
    Pending,
    Receipt,
    Rejected,
    Result,
    T,
    Unavailable,
    Undeliverable,
    Unknown,
    UnreadableWebhookError,
    Unsupported,
    Webhook,
)
from cascade.channels.http_status import Results, answer_to_poll, by_status, refused
from cascade.channels.native import Ref, instant, native_code
from cascade.channels.strict_json import loads, readable
from cascade.domain.state import AttemptState, Channel


# Of a whole request (its `status`) and of one message in it (its `code`).
_RESULTS: Results = {
    "error-system": Unavailable,
    "error-syntax": Rejected,
    "error-auth": Rejected,
    "error-account-locked": Rejected,
    "not-permitted": Rejected,
    "error-route-not-found": Rejected,
    "error-subject-format": Rejected,
    "error-subject-unknown": Rejected,
    "error-subject-not-specified": Rejected,
    "error-priority-format": Rejected,
    "error-comment-format": Rejected,
    "error-content-type-format": Rejected,
    "error-content-not-specified": Rejected,
    "error-validity-period-seconds-format": Rejected,
    "error-resend-sms-error": Rejected,
    "error-resend-sms-validity-period-error": Rejected,
    "error-instant-message-typeformat": Rejected,
    "error-instant-message-type-format": Rejected,
    "error-instant-message-type-not-specified": Rejected,
    "error-instant-message-content-type-format": Rejected,
    "error-instant-message-content-image-id-format": Rejected,
    "error-instant-message-provider-id-format": Rejected,
    "error-instant-message-provider-id-duplicate": Rejected,
    "error-instant-message-provider-id-unknown": Rejected,
    "error-instant-message-client-id-not-unique": Rejected,
    "error-address-format": Undeliverable,
    "error-address-unknown": Undeliverable,  # this range of numbers is closed to the account
    "error-address-not-specified": Undeliverable,
    "user-blocked": Undeliverable,
    "not-viber-user": Unsupported,
}

# Statuses and codes come in upper case with "_" by webhook, in lower case with "-" by poll.
_STATES = {
    "enqueued": AttemptState.SENT,
    "sent": AttemptState.SENT,
    "delivered": AttemptState.DELIVERED,
    "read": AttemptState.READ,
    "visited": AttemptState.READ,  # the link was clicked, so it was read
    "undelivered": AttemptState.UNDELIVERABLE,
    "failed": AttemptState.UNDELIVERABLE,
    "cancelled": AttemptState.UNDELIVERABLE,
    "vp-expired": AttemptState.EXPIRED,
}

# Why an `undelivered` or `failed` message is that, where it says more than the status.
_CAUSES = {
    "not-viber-user": AttemptState.UNSUPPORTED,
    "no-suitable-device": AttemptState.UNSUPPORTED,
    "error-vp-expired": AttemptState.EXPIRED,
    "bad-data": AttemptState.REJECTED,
    "bad-parameters": AttemptState.REJECTED,
    "error-instant-message-type-format": AttemptState.REJECTED,
}

_OK = "ok"
_BULK = 100  # messages of a /send, ids of a /status


class Priority(StrEnum):
    """How soon Devino sends: high for transactional messages, low for advertising."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    REALTIME = "realtime"


class _Sent(BaseModel):
    code: str
    provider_id: Ref | None = Field(default=None, alias="providerId")


class _SendAnswer(BaseModel):
    status: str
    messages: list[_Sent] = []


class _Status(BaseModel):
    """A status by webhook or by poll: the documents spell its fields in several ways."""

    id: Ref = Field(validation_alias=AliasChoices("providerId", "messageId", "id"))
    status: str
    cause: str | None = Field(
        default=None, validation_alias=AliasChoices("errorCode", "error", "error_code")
    )
    at: int | str | None = Field(
        default=None, validation_alias=AliasChoices("receivedAt", "statusAt", "time")
    )


class _PollAnswer(BaseModel):
    status: str
    messages: list[dict[str, object]]


class Devino(UnsignedAccount):
    """One account at Devino that serves Viber, under one registered subject."""

    capabilities: ClassVar = Capabilities(
        ttl_minimum=30,
        ttl_maximum=86_400,
        read_receipts=True,
        late_delivery=False,
        correlation=Correlation.PROVIDER_REF,
        bulk=_BULK,
        poll=True,  # for 5 days
        text_maximum=1000,
    )
    channels: ClassVar = frozenset({Channel.VIBER})

    login: Name
    password: Secret
    subject: str = Field(min_length=1, max_length=11)
    priority: Priority = Priority.HIGH

    def requests_for(self, items: Sequence[Item]) -> list[HttpRequest[Item]]:
        """Up to 100 items a call. Raises UnsayableError for a template."""
        return [self._send(items[at : at + _BULK]) for at in range(0, len(items), _BULK)]

    def results_of(self, request: HttpRequest[Item], response: HttpResponse) -> list[Result]:
        """Results by position; raises ValueError if there are not as many as items."""
        try:
            answer = _SendAnswer.model_validate(loads(response.body))
        except ValueError:
            return [by_status(response)] * len(request.items)
        if answer.status != _OK:
            refusal = refused(native_code(answer.status), _RESULTS, response)
            return [refusal] * len(request.items)
        if len(answer.messages) != len(request.items):
            raise ValueError("not one result per message")
        return [_result(sent, response) for sent in answer.messages]

    def poll_requests_for(self, pending: Sequence[Pending]) -> list[HttpRequest[Pending]]:
        """Up to 100 a call; those without Devino's id cannot be asked about."""
        known = [each for each in pending if each.provider_ref is not None]
        return [self._status(known[at : at + _BULK]) for at in range(0, len(known), _BULK)]

    def receipts_of(
        self,
        request: HttpRequest[Pending],  # noqa: ARG002  # the contract
        response: HttpResponse,
    ) -> list[Receipt]:
        """The known statuses in the answer; raises ValueError if it cannot be read."""
        answer = _PollAnswer.model_validate(answer_to_poll(response))
        if answer.status != _OK:
            raise ValueError("no answer to a poll")
        # A row without a status is about an id that Devino does not know (any more).
        rows = [row for row in answer.messages if "status" in row]
        receipts = [_receipt(status) for status in readable(_Status, rows)]
        return [receipt for receipt in receipts if receipt.status is not AttemptState.UNKNOWN]

    def parse(self, webhook: Webhook) -> list[Receipt]:
        """The statuses in `webhook`; one that we do not know is kept as `unknown`."""
        try:
            rows = readable(_Status, loads(webhook.body))
        except ValueError:
            raise UnreadableWebhookError("no statuses of Devino") from None
        return [_receipt(row) for row in rows]

    def _send(self, items: Sequence[Item]) -> HttpRequest[Item]:
        messages = [self._message(item) for item in items]
        body = {"resendSms": "false", "messages": messages}
        return self._post("send", body, tuple(items))

    def _status(self, pending: Sequence[Pending]) -> HttpRequest[Pending]:
        refs = [_id(each.provider_ref or "") for each in pending]
        return self._post("status", {"messages": refs}, tuple(pending))

    def _message(self, item: Item) -> dict[str, object]:
        return {
            "subject": self.subject,
            "priority": self.priority.value,
            "validityPeriodSec": item.ttl,
            "comment": item.client_ref,  # not echoed; it helps to compare Devino's record
            "type": "viber",
            "contentType": "text",
            "content": {"text": text_of(item)},
            "address": item.phone.removeprefix("+"),
        }

    def _post(self, method: str, body: object, items: tuple[T, ...]) -> HttpRequest[T]:
        return HttpRequest(
            method="POST",
            url=f"{self.base_url}/{method}",
            headers={
                "Authorization": f"Basic {self._credentials()}",
                "Content-Type": "application/json; charset=utf-8",
            },
            body=json.dumps(body, ensure_ascii=False).encode(),
            items=items,
        )

    def _credentials(self) -> str:
        pair = f"{self.login}:{self.password.get_secret_value()}"
        return base64.b64encode(pair.encode()).decode()


def _result(sent: _Sent, response: HttpResponse) -> Result:
    if sent.code != _OK:
        return refused(native_code(sent.code), _RESULTS, response)
    if sent.provider_id is None:
        return Unknown("no_provider_id")
    return Accepted((sent.provider_id,))


def _receipt(status: _Status) -> Receipt:
    cause = native_code(status.cause)
    return Receipt(
        status=_state(_spelling(status.status), _spelling(cause)),
        native_status=native_code(status.status),
        native_code=cause,
        provider_ref=status.id,
        event_at=instant(status.at),
    )


def _state(status: str, cause: str) -> AttemptState:
    state = _STATES.get(status, AttemptState.UNKNOWN)
    if state is AttemptState.UNDELIVERABLE:
        return _CAUSES.get(cause, state)
    return state


def _spelling(native: str) -> str:
    return native.lower().replace("_", "-")


def _id(ref: str) -> int | str:
    """Devino's ids are numbers beyond 2^53; ours are strings, so none is ever rounded."""
    return int(ref) if ref.isascii() and ref.isdigit() else ref
