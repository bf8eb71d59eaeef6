from __future__ import annotations

import base64
import datetime as dt
import json

import pytest

from cascade.channels.base import (
    Accepted,
    Pending,
    Rejected,
    Unavailable,
    Undeliverable,
    Unknown,
    UnreadableWebhookError,
    UnsayableError,
    Unsupported,
)
from cascade.domain.message import Template
from cascade.domain.state import AttemptState
from tests.channels.samples import PHONE, REF, SECRET, WORDS, an_item, answer, webhook


BIG = 3158611117333282817  # a double would make ...816 of it


def pending(ref: str | None) -> Pending:
    return Pending(attempt_id=1, client_ref=REF, provider_ref=ref, phone=PHONE)


def test_a_call_goes_out_as_documented(devino, item):
    (request,) = devino.requests_for([item])
    assert (request.method, request.url) == ("POST", "https://viber.devinotele.com:444/send")
    credentials = base64.b64encode(f"shop:{SECRET}".encode()).decode()
    assert request.headers["Authorization"] == f"Basic {credentials}"
    assert json.loads(request.body) == {
        "resendSms": "false",
        "messages": [
            {
                "subject": "Shop",
                "priority": "high",
                "validityPeriodSec": 60,
                "comment": REF,
                "type": "viber",
                "contentType": "text",
                "content": {"text": WORDS},
                "address": "79161234567",
            }
        ],
    }


def test_a_call_carries_a_hundred_messages_at_most(devino):
    requests = devino.requests_for([an_item(n) for n in range(201)])
    assert [len(request.items) for request in requests] == [100, 100, 1]
    assert [len(json.loads(request.body)["messages"]) for request in requests] == [100, 100, 1]


def test_a_template_cannot_be_said(devino):
    with pytest.raises(UnsayableError):
        devino.requests_for([an_item(body=Template("ready", "ru", {}))])


def test_results_are_by_position_and_ids_stay_exact(devino):
    (request,) = devino.requests_for([an_item(1), an_item(2), an_item(3)])
    rows = [{"providerId": BIG, "code": "ok"}, {"code": "not-viber-user"}, {"code": "ok"}]
    response = answer(json.dumps({"status": "ok", "messages": rows}))
    assert devino.results_of(request, response) == [
        Accepted((str(BIG),)),
        Unsupported("not-viber-user"),
        Unknown("no_provider_id"),
    ]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("error-system", Unavailable),
        ("not-permitted", Rejected),
        ("error-subject-unknown", Rejected),
        ("error-content-not-specified", Rejected),
        ("error-validity-period-seconds-format", Rejected),
        ("error-route-not-found", Rejected),
        ("error-address-format", Undeliverable),
        ("error-address-unknown", Undeliverable),
        ("user-blocked", Undeliverable),
        ("not-viber-user", Unsupported),
        ("error-of-tomorrow", Unknown),
    ],
)
def test_each_code_of_a_message_has_its_result(devino, item, code, result):
    (request,) = devino.requests_for([item])
    response = answer(json.dumps({"status": "ok", "messages": [{"code": code}]}))
    assert devino.results_of(request, response) == [result(code)]


@pytest.mark.parametrize(
    ("http", "status", "result"),
    [
        (401, "error-auth", Rejected),
        (200, "error-account-locked", Rejected),
        (400, "error-syntax", Rejected),
        (500, "error-system", Unavailable),
        (200, "error-of-tomorrow", Unknown),
    ],
)
def test_a_refused_call_refuses_each_of_its_messages(devino, http, status, result):
    (request,) = devino.requests_for([an_item(1), an_item(2)])
    response = answer(json.dumps({"status": status, "messages": []}), status=http)
    assert devino.results_of(request, response) == [result(status)] * 2


@pytest.mark.parametrize(
    ("native", "cause", "state"),
    [
        ("DELIVERED", None, AttemptState.DELIVERED),
        ("delivered", None, AttemptState.DELIVERED),
        ("READ", None, AttemptState.READ),
        ("VISITED", None, AttemptState.READ),
        ("VP_EXPIRED", "ERROR_VP_EXPIRED", AttemptState.EXPIRED),
        ("vp_expired", None, AttemptState.EXPIRED),
        ("UNDELIVERED", "NOT_VIBER_USER", AttemptState.UNSUPPORTED),
        ("undelivered", "not-viber-user", AttemptState.UNSUPPORTED),
        ("UNDELIVERED", "NO_SUITABLE_DEVICE", AttemptState.UNSUPPORTED),
        ("UNDELIVERED", "USER_BLOCKED", AttemptState.UNDELIVERABLE),
        ("UNDELIVERED", "BLOCKED_MESSAGE_TYPE", AttemptState.UNDELIVERABLE),
        ("UNDELIVERED", "BAD_DATA", AttemptState.REJECTED),
        ("FAILED", "UNKNOWN_ERROR", AttemptState.UNDELIVERABLE),
        ("FAILED", None, AttemptState.UNDELIVERABLE),
        ("PONDERED", None, AttemptState.UNKNOWN),
    ],
)
def test_each_status_has_its_state(devino, native, cause, state):
    row = {"id": BIG, "receivedAt": "1763800000500", "status": native, "errorCode": cause}
    (receipt,) = devino.parse(webhook(json.dumps([row])))
    assert (receipt.status, receipt.native_status) == (state, native)
    assert (receipt.client_ref, receipt.provider_ref) == (None, str(BIG))
    assert receipt.native_code == (cause or "")


def test_both_spellings_of_a_callback_are_read(devino):
    rows = [
        {"id": BIG, "receivedAt": "1763800000000", "status": "DELIVERED"},
        {"messageId": BIG, "receivedAt": "2025-11-22 08:26:40", "status": "delivered"},
        {"id": str(BIG), "time": "2025-11-22 08:26:40", "status": "Delivered"},
    ]
    receipts = devino.parse(webhook(json.dumps(rows)))
    assert {receipt.provider_ref for receipt in receipts} == {str(BIG)}
    assert {receipt.event_at for receipt in receipts} == {
        dt.datetime(2025, 11, 22, 8, 26, 40, tzinfo=dt.UTC)
    }


def test_one_bad_row_does_not_take_its_neighbours_with_it(devino):
    rows = [{"id": 1, "status": "READ"}, {"id": None, "status": "READ"}, 7, {"id": 2}]
    (receipt,) = devino.parse(webhook(json.dumps(rows)))
    assert receipt.provider_ref == "1"


@pytest.mark.parametrize("body", ["{}", "[7]", "<html>", '[{"id":1}]', '{"id":1,"status":"READ"}'])
def test_a_webhook_without_statuses_is_unreadable(devino, body):
    with pytest.raises(UnreadableWebhookError):
        devino.parse(webhook(body))


def test_it_is_asked_by_its_own_ids_a_hundred_at_a_time(devino):
    known = [pending(str(BIG + n)) for n in range(101)]
    first, second = devino.poll_requests_for([pending(None), *known])
    assert first.url == "https://viber.devinotele.com:444/status"
    assert json.loads(first.body)["messages"] == [BIG + n for n in range(100)]
    assert second.items == (known[100],)


def test_a_poll_about_ids_that_it_does_not_know_is_answered_with_nothing(devino):
    (request,) = devino.poll_requests_for([pending("3")])
    rows = [{"providerId": 3, "code": "error-instant-message-provider-id-unknown"}]
    assert (
        devino.receipts_of(request, answer(json.dumps({"status": "ok", "messages": rows}))) == []
    )


@pytest.mark.parametrize(
    ("http", "body"),
    [
        (500, '{"status":"ok","messages":[]}'),
        (200, '{"status":"error-system","messages":[]}'),
        (200, '{"status":"ok"}'),
    ],
)
def test_a_failed_poll_is_no_answer(devino, http, body):
    (request,) = devino.poll_requests_for([pending("3")])
    with pytest.raises(ValueError):  # noqa: PT011  # any kind of it
        devino.receipts_of(request, answer(body, status=http))


def test_the_answer_to_a_poll_is_read_and_the_unknown_left_out(devino):
    (request,) = devino.poll_requests_for([pending("1")])
    rows = [
        {"providerId": 1, "code": "ok", "status": "enqueued", "statusAt": "2025-11-22 08:26:40"},
        {"providerId": 2, "code": "ok", "status": "undelivered", "error": "not-viber-user"},
        {"providerId": 3, "code": "error-instant-message-provider-id-unknown"},
        {"providerId": 4, "code": "ok", "status": "pondered"},
    ]
    receipts = devino.receipts_of(request, answer(json.dumps({"status": "ok", "messages": rows})))
    assert [(receipt.provider_ref, receipt.status) for receipt in receipts] == [
        ("1", AttemptState.SENT),
        ("2", AttemptState.UNSUPPORTED),
    ]
