from __future__ import annotations

import datetime as dt
import json

from urllib.parse import parse_qsl, urlencode

import pytest

from cascade.channels.base import (
    Accepted,
    Pending,
    Rejected,
    Throttled,
    Undeliverable,
    Unknown,
    UnreadableWebhookError,
)
from cascade.domain.state import AttemptState
from tests.channels.samples import PHONE, REF, SECRET, WORDS, an_item, answer, webhook


PENDING = Pending(attempt_id=1, client_ref=REF, provider_ref=None, phone=PHONE)


def form_of(request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), strict_parsing=True))


def test_a_message_goes_out_as_documented_and_without_a_ttl(smsc, item):
    (request,) = smsc.requests_for([item])
    assert (request.method, request.url) == ("POST", "https://smsc.ru/sys/send.php")
    assert form_of(request) == {
        "login": "shop",
        "psw": SECRET,
        "phones": PHONE,  # with "+", which turns the gateway's corrections off
        "mes": WORDS,
        "sender": "Shop",
        "id": REF,
        "fmt": "3",
        "charset": "utf-8",
    }


def test_each_item_has_a_call_of_its_own(smsc):
    requests = smsc.requests_for([an_item(1), an_item(2)])
    assert [len(request.items) for request in requests] == [1, 1]


def test_an_acceptance_names_our_id(smsc, item):
    (request,) = smsc.requests_for([item])
    accepted = answer(json.dumps({"id": REF, "cnt": 2, "cost": "5.1"}))
    assert smsc.results_of(request, accepted) == [Accepted()]
    assert smsc.results_of(request, answer('{"id":7,"cnt":1}')) == [Unknown("http_200")]
    assert smsc.results_of(request, answer('{"cnt":1}')) == [Unknown("http_200")]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        *((code, Rejected) for code in (1, 2, 3, 4, 5, 6)),
        (7, Undeliverable),
        (8, Undeliverable),
        (9, Throttled),
        (77, Unknown),
    ],
)
def test_each_error_has_its_result(smsc, item, code, result):
    (request,) = smsc.requests_for([item])
    response = answer(json.dumps({"error": "some words", "error_code": code, "id": REF}))
    assert smsc.results_of(request, response) == [result(str(code))]


@pytest.mark.parametrize(
    ("native", "state"),
    [
        (-2, AttemptState.UNDELIVERABLE),
        (-1, AttemptState.SENT),
        (0, AttemptState.SENT),
        (1, AttemptState.DELIVERED),
        (2, AttemptState.READ),
        (3, AttemptState.EXPIRED),
        (4, AttemptState.READ),
        (20, AttemptState.UNDELIVERABLE),
        (22, AttemptState.UNDELIVERABLE),
        (23, AttemptState.REJECTED),
        (24, AttemptState.REJECTED),
        (25, AttemptState.UNDELIVERABLE),
        (99, AttemptState.UNKNOWN),
    ],
)
def test_each_status_has_its_state_in_a_form_and_in_json(smsc, native, state):
    fields = {"id": REF, "phone": "79161234567", "status": native, "ts": "1763800000", "err": 0}
    for body in (urlencode(fields), json.dumps(fields), json.dumps([fields])):
        (receipt,) = smsc.parse(webhook(body))
        assert (receipt.status, receipt.native_status) == (state, str(native))
        assert (receipt.client_ref, receipt.provider_ref) == (REF, None)
        assert receipt.event_at == dt.datetime(2025, 11, 22, 8, 26, 40, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "status=1",
        "id=a&id=b&status=1",
        "id=a%00&status=1",
        "&".join(["a=1"] * 100),
        "{}",
        "[]x",
        '{"id":"a","status":true}',
        '{"id":"a","status":1.0}',
        b"\xff=\xff",
    ],
)
def test_what_is_no_status_is_unreadable(smsc, body):
    with pytest.raises(UnreadableWebhookError):
        smsc.parse(webhook(body))


def test_it_is_asked_by_phone_and_our_reference_outside_the_address(smsc):
    (request,) = smsc.poll_requests_for([PENDING])
    assert (request.method, request.url) == ("POST", "https://smsc.ru/sys/status.php")
    form = form_of(request)
    assert (form["phone"], form["id"], form["fmt"]) == (PHONE, REF, "3")
    assert request.items == (PENDING,)


def test_the_answer_to_a_poll_is_about_the_attempt_asked_for(smsc):
    (request,) = smsc.poll_requests_for([PENDING])
    body = {"status": 1, "last_date": "22.11.2025 11:26:40", "last_timestamp": 1763800000}
    (receipt,) = smsc.receipts_of(request, answer(json.dumps({**body, "err": 0})))
    assert receipt.status is AttemptState.DELIVERED
    assert receipt.client_ref == REF
    assert receipt.event_at == dt.datetime(2025, 11, 22, 8, 26, 40, tzinfo=dt.UTC)


def test_a_message_that_it_does_not_find_has_no_receipt(smsc):
    (request,) = smsc.poll_requests_for([PENDING])
    assert smsc.receipts_of(request, answer('{"status":-3,"err":0}')) == []


def test_an_error_is_no_answer_to_a_poll(smsc):
    (request,) = smsc.poll_requests_for([PENDING])
    with pytest.raises(ValueError):  # noqa: PT011  # any kind of it
        smsc.receipts_of(request, answer('{"error":"duplicate","error_code":9}'))
