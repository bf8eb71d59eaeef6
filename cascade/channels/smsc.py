"""SMS by SMSC.ru (https://smsc.ru): send.php and status.php, answers in JSON.

Wire facts: smsc.ru/api/http. Everything goes by POST, since an address with a phone number or a
password in it would reach logs. The gateway's TTL is in hours, too coarse, so none is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode

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
    Throttled,
    Undeliverable,
    UnreadableWebhookError,
    Webhook,
)
from cascade.channels.http_status import Results, answer_to_poll, by_status, refused
from cascade.channels.native import Ref, instant, native_code
from cascade.channels.strict_json import loads, readable
from cascade.domain.money import PriceUnit
from cascade.domain.state import AttemptState, Channel


_RESULTS: Results = {
    "1": Rejected,  # parameters
    "2": Rejected,  # login, password or address
    "3": Rejected,  # no money
    "4": Rejected,  # our address is blocked for frequent errors
    "5": Rejected,  # date
    "6": Rejected,  # the message is forbidden
    "7": Undeliverable,  # format of the phone number
    "8": Undeliverable,  # cannot be delivered to this number
    "9": Throttled,  # too many at once, or the same text to the same number within a minute
}

_STATES = {
    "-2": AttemptState.UNDELIVERABLE,  # stopped
    "-1": AttemptState.SENT,  # waits to be sent
    "0": AttemptState.SENT,  # handed to the operator
    "1": AttemptState.DELIVERED,
    "2": AttemptState.READ,
    "3": AttemptState.EXPIRED,
    "4": AttemptState.READ,  # the link was clicked
    "20": AttemptState.UNDELIVERABLE,
    "22": AttemptState.UNDELIVERABLE,  # wrong number
    "23": AttemptState.REJECTED,  # forbidden
    "24": AttemptState.REJECTED,  # no money
    "25": AttemptState.UNDELIVERABLE,  # the number cannot be reached
}

_MOST_FIELDS = 64  # of one webhook


class _Answer(BaseModel):
    id: Ref | None = None
    error_code: Ref | None = None


class _Status(BaseModel):
    status: Ref
    err: int | str | None = None
    at: int | str | None = Field(
        default=None, validation_alias=AliasChoices("last_timestamp", "ts")
    )


class _Callback(_Status):
    id: Ref


class Smsc(UnsignedAccount):
    """One account at SMSC.ru. Our reference is the message's id there, so it finds everything."""

    capabilities: ClassVar = Capabilities(
        ttl_minimum=0,
        ttl_maximum=86_400,
        read_receipts=False,
        late_delivery=True,
        correlation=Correlation.CLIENT_REF,
        poll=True,
        price_unit=PriceUnit.SEGMENT,
        text_maximum=1000,
    )
    channels: ClassVar = frozenset({Channel.SMS})

    login: Name
    password: Secret
    sender: Name

    def requests_for(self, items: Sequence[Item]) -> list[HttpRequest[Item]]:
        """One form per item. Raises UnsayableError for a template."""
        return [self._post("send", self._message(item), item) for item in items]

    def results_of(self, request: HttpRequest[Item], response: HttpResponse) -> list[Result]:
        """The one item's result; an acceptance must name the id that we gave."""
        return [_result(item, response) for item in request.items]

    def poll_requests_for(self, pending: Sequence[Pending]) -> list[HttpRequest[Pending]]:
        """One form per attempt, by phone number and our reference."""
        return [self._post("status", _question(each), each) for each in pending]

    def receipts_of(self, request: HttpRequest[Pending], response: HttpResponse) -> list[Receipt]:
        """The attempt's status, none if it is not known; raises ValueError if it is no answer."""
        status = _Status.model_validate(answer_to_poll(response))
        if status.status not in _STATES:
            return []
        return [_receipt(status, each.client_ref) for each in request.items]

    def parse(self, webhook: Webhook) -> list[Receipt]:
        """The statuses in `webhook`, a form or JSON; an unknown one is kept as `unknown`."""
        try:
            rows = readable(_Callback, _rows(webhook.body))
        except ValueError:
            raise UnreadableWebhookError("no status of SMSC") from None
        return [_receipt(row, row.id) for row in rows]

    def _message(self, item: Item) -> dict[str, str]:
        return {
            "phones": item.phone,
            "mes": text_of(item),
            "sender": self.sender,
            "id": item.client_ref,
        }

    def _post(self, script: str, fields: dict[str, str], item: T) -> HttpRequest[T]:
        credentials = {"login": self.login, "psw": self.password.get_secret_value()}
        formats = {"fmt": "3", "charset": "utf-8"}
        return HttpRequest(
            method="POST",
            url=f"{self.base_url}/sys/{script}.php",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(credentials | fields | formats).encode(),
            items=(item,),
        )


def _question(pending: Pending) -> dict[str, str]:
    return {"phone": pending.phone, "id": pending.client_ref}


def _result(item: Item, response: HttpResponse) -> Result:
    try:
        answer = _Answer.model_validate(loads(response.body))
    except ValueError:
        return by_status(response)
    if answer.error_code is not None:
        return refused(native_code(answer.error_code), _RESULTS, response)
    if response.status == HTTPStatus.OK and answer.id == item.client_ref:
        return Accepted()
    return by_status(response)


def _rows(body: bytes) -> list[object]:
    """SMSC sends a form, or JSON if `fmt=3` stands in the address given to it."""
    if body.lstrip()[:1] in {b"{", b"["}:
        value = loads(body)
        return value if isinstance(value, list) else [value]
    fields = parse_qsl(
        body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_FIELDS
    )
    form = dict(fields)
    if len(form) != len(fields):
        raise ValueError("a field is given twice")
    return [form]


def _receipt(status: _Status, client_ref: str) -> Receipt:
    return Receipt(
        status=_STATES.get(status.status, AttemptState.UNKNOWN),
        native_status=native_code(status.status),
        native_code=native_code(status.err),
        client_ref=client_ref,
        event_at=instant(status.at),
    )
