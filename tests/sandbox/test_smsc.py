"""SMSC.ru answers 200 to everything; what counts is in the body."""

from __future__ import annotations

import pytest
import requests

from cascade.sandbox.outcomes import Channel
from tests.sandbox.running import phone_for


def told(receiver, count):
    """Webhooks may overtake each other on the way, so their order is the alphabet's."""
    return sorted(heard.form()["status"] for heard in receiver.hear(count))


def test_an_sms_is_accepted_under_our_own_id_with_its_segments(sandbox):
    assert sandbox.sms(id="ours-1").json() == {"id": "ours-1", "cnt": 1}
    assert sandbox.sms(id="ours-2", mes="я" * 71).json() == {"id": "ours-2", "cnt": 2}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (1, {"mes": ""}),
        (1, {"mes": "я" * 1001}),
        (1, {"id": "x" * 41}),
        (1, {"fmt": "1"}),
        (1, {"charset": "koi8-r"}),
        (1, {"valid": "25"}),
        (1, {"valid": "00:00"}),
        (2, {"psw": "guessed"}),
        (2, {"login": "other"}),
        (6, {"sender": "OTHER"}),
        (7, {"phones": "12"}),
    ],
)
def test_a_bad_request_is_refused_with_its_error(sandbox, code, changes):
    response = sandbox.sms(**changes)
    assert (response.status_code, response.json()["error_code"]) == (200, code)
    (line,) = sandbox.ledger()
    assert (line["event"], line["code"]) == ("refused", str(code))


def test_the_same_text_to_the_same_number_within_a_minute_is_error_9(sandbox):
    assert "cnt" in sandbox.sms(id="1").json()
    assert sandbox.sms(id="2").json()["error_code"] == 9
    assert "cnt" in sandbox.sms(id="3", mes="Другой заказ готов").json()
    assert "cnt" in sandbox.sms(id="4", phones=phone_for(Channel.SMS, 2)).json()


@pytest.mark.parametrize(
    ("digit", "webhooks", "events"),
    [
        (1, ["0", "1"], ["accepted", "delivered"]),
        (2, ["0", "1"], ["accepted", "delivered"]),
        (3, ["0", "0", "1", "1"], ["accepted", "delivered"]),
        (4, ["0", "20"], ["accepted", "undeliverable"]),
        (6, ["0"], ["accepted"]),
    ],
)
def test_the_digits_of_sms(sandbox, receiver, digit, webhooks, events):
    assert "cnt" in sandbox.sms(phones=phone_for(Channel.SMS, digit)).json()
    assert told(receiver, len(webhooks)) == webhooks
    sandbox.settle()
    assert len(receiver.heard) == len(webhooks)
    assert sandbox.events() == events


def test_7_is_told_backwards(sandbox, receiver):
    sandbox.sms(phones=phone_for(Channel.SMS, 7))
    assert [heard.form()["status"] for heard in receiver.hear(2)] == ["1", "0"]
    assert sandbox.events() == ["accepted", "delivered"]


def test_5_cannot_be_delivered_at_once(sandbox):
    assert sandbox.sms(phones=phone_for(Channel.SMS, 5)).json()["error_code"] == 8
    assert sandbox.events() == ["undeliverable"]


def test_8_is_too_many_requests_twice_and_then_delivered(sandbox, receiver):
    phone = phone_for(Channel.SMS, 8)
    assert [sandbox.sms(phones=phone).json()["error_code"] for _ in range(2)] == [9, 9]
    assert "cnt" in sandbox.sms(phones=phone).json()
    assert told(receiver, 2) == ["0", "1"]


def test_9_is_accepted_never_answered_and_delivered(sandbox, receiver):
    with pytest.raises(requests.ConnectionError):
        sandbox.sms(phones=phone_for(Channel.SMS, 9))
    assert told(receiver, 2) == ["0", "1"]
    assert sandbox.events() == ["ambiguous", "accepted", "delivered"]


def test_a_webhook_is_a_form_with_our_id(sandbox, receiver):
    sandbox.sms(id="ours-3", mes="я" * 71)
    heard = next(call for call in receiver.hear(2) if call.form()["status"] == "1")
    told = heard.form()
    assert heard.headers["content-type"] == "application/x-www-form-urlencoded"
    assert set(told) == {"id", "phone", "status", "time", "ts", "err", "cnt"}
    assert (told["id"], told["phone"]) == ("ours-3", phone_for(Channel.SMS, 1))
    assert (told["err"], told["cnt"]) == ("0", "2")


def test_a_poll_finds_a_message_by_our_id(sandbox, receiver):
    phone = phone_for(Channel.SMS, 7)
    sandbox.sms(id="ours-4", phones=phone)
    receiver.hear(2)
    assert sandbox.sms("status", id="ours-4", phone=phone).json()["status"] == 1
    assert sandbox.sms("status", id="other", phone=phone).json()["status"] == -3
    several = sandbox.sms("status", id="ours-4,other,", phone=f"{phone},{phone},").json()
    assert [(one["id"], one["status"]) for one in several] == [("ours-4", 1), ("other", -3)]


def test_a_poll_needs_the_password(sandbox):
    assert sandbox.sms("status", id="1", phone="7", psw="guessed").json()["error_code"] == 2
