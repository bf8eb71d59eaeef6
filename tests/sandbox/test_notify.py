"""Notify refuses what it documents, and its webhooks tell what became of a message."""

from __future__ import annotations

import json

import pytest
import requests

from cascade.sandbox.distribution import chance_of, draw_outcome, draw_steps
from cascade.sandbox.ledger import Ledger
from cascade.sandbox.outcomes import Channel, Outcome
from tests.sandbox.running import TEMPO, Running, config_of, phone_for


WITHOUT_A_PLACE = {"number": "42"}
FILLED = {"number": "42", "sum": "1900"}


def refusal_of(response):
    return response.status_code, response.json()["code"]


def test_a_moderated_text_is_accepted_under_our_own_id(sandbox):
    response = sandbox.notify(message_id="ours-1")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "message_id": "ours-1"}


def test_a_template_with_all_its_values_is_accepted(sandbox):
    response = sandbox.notify(without=["text"], tmpl="ready", tmpl_data=json.dumps(FILLED))
    assert response.json()["status"] == "ok"


@pytest.mark.parametrize(
    ("status", "code", "changes"),
    [
        (200, "UNSUPPORTED_TEMPLATE", {"text": "Купите слона"}),
        (200, "UNSUPPORTED_TEMPLATE", {"text": "Заказ 42 готов. Сумма: "}),
        (400, "INVALID_REQUEST", {"tmpl": "ready", "tmpl_data": json.dumps(FILLED)}),
        (400, "INVALID_REQUEST", {"routes": "OK"}),
        (400, "INVALID_REQUEST", {"delivery_policy": "perhaps"}),
        (400, "INVALID_REQUEST", {"message_id": "x" * 65}),
        (400, "INVALID_PHONE", {"phone": "89160000"}),
        (400, "INVALID_PHONE", {"phone": "+79160011111"}),
        (400, "INVALID_TTL", {"ttl": "14"}),
        (400, "INVALID_TTL", {"ttl": "86401"}),
        (400, "INVALID_TTL", {"ttl": "1h"}),
        (401, "INCORRECT_SIGNATURE", {"secret": "guessed"}),
        (401, "INCORRECT_SIGNATURE", {"key": "nobody"}),
    ],
)
def test_a_bad_request_is_refused_with_its_code(sandbox, status, code, changes):
    assert refusal_of(sandbox.notify(**changes)) == (status, code)
    (line,) = sandbox.ledger()
    assert (line["event"], line["code"], line["amount"]) == ("refused", code, None)


def test_a_text_and_no_template_at_all_is_invalid(sandbox):
    assert refusal_of(sandbox.notify(without=["text"])) == (400, "INVALID_REQUEST")


def test_a_template_without_one_of_its_values_is_unsupported(sandbox):
    response = sandbox.notify(
        without=["text"], tmpl="ready", tmpl_data=json.dumps(WITHOUT_A_PLACE)
    )
    assert refusal_of(response) == (200, "UNSUPPORTED_TEMPLATE")


def test_values_that_are_no_object_are_invalid(sandbox):
    response = sandbox.notify(without=["text"], tmpl="ready", tmpl_data="[")
    assert refusal_of(response) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("ttl", ["15", "86400"])
def test_the_ends_of_the_ttl_range_are_accepted(sandbox, ttl):
    assert sandbox.notify(ttl=ttl).json()["status"] == "ok"


def test_a_body_changed_after_signing_is_refused(sandbox):
    signed = sandbox.notify().request
    tampered = requests.Request(
        "POST",
        signed.url,
        data=signed.body.replace(b"ttl=3600", b"ttl=3601"),
        headers={
            "Authorization": signed.headers["Authorization"].decode(),
            "Content-Type": signed.headers["Content-Type"].decode(),
        },
    )
    response = sandbox.http.send(tampered.prepare())
    assert refusal_of(response) == (401, "INCORRECT_SIGNATURE")


def test_a_replayed_request_is_refused(sandbox):
    signed = sandbox.notify().request
    assert refusal_of(sandbox.http.send(signed)) == (401, "INCORRECT_SIGNATURE")


def test_an_unsigned_request_is_refused(sandbox):
    for headers in ({}, {"Authorization": "OAuth nonsense"}, {"Authorization": "Basic eDp5"}):
        response = sandbox.http.post(
            f"{sandbox.url}/notify-vk/notify", data={"text": "x"}, headers=headers
        )
        assert refusal_of(response) == (401, "INCORRECT_SIGNATURE")


def test_an_address_that_is_not_allowed_is_refused(tmp_path):
    config = config_of("")
    config["notify-vk"]["allowed_ips"] = ["192.0.2.1"]
    running = Running(config, Ledger(tmp_path / "ledger.jsonl"), webhook_url="")
    try:
        assert refusal_of(running.notify()) == (403, "NOT_ALLOWED_IP")
    finally:
        running.close()


def told_in_order(receiver, count):
    return [heard.json()["status"] for heard in receiver.hear(count)]


def told(receiver, count):
    """Webhooks may overtake each other on the way, so their order is the alphabet's."""
    return sorted(told_in_order(receiver, count))


@pytest.mark.parametrize("account", ["notify-vk", "notify-ok"])
@pytest.mark.parametrize(
    ("digit", "webhooks", "events"),
    [
        (1, ["sent", "delivered"], ["accepted", "delivered"]),
        (2, ["sent", "delivered"], ["accepted", "delivered"]),
        (3, ["sent", "delivered", "read"], ["accepted", "delivered", "read"]),
        (5, ["sent", "unsupported"], ["accepted", "unsupported"]),
        (6, ["sent"], ["accepted"]),
    ],
)
def test_the_digits_that_vk_and_ok_share(sandbox, receiver, account, digit, webhooks, events):
    phone = phone_for(Channel(account.removeprefix("notify-")), digit)
    assert sandbox.notify(account, phone=phone).json()["status"] == "ok"
    assert told(receiver, len(webhooks)) == sorted(webhooks)
    sandbox.settle()
    assert len(receiver.heard) == len(webhooks)
    assert sandbox.events() == events


@pytest.mark.parametrize("account", ["notify-vk", "notify-ok"])
def test_4_is_not_a_user_at_once(sandbox, account):
    phone = phone_for(Channel(account.removeprefix("notify-")), 4)
    assert refusal_of(sandbox.notify(account, phone=phone)) == (200, "UNSUPPORTED")
    assert sandbox.events() == ["unsupported"]


def test_vk_7_gets_every_webhook_twice_and_is_billed_once(sandbox, receiver):
    sandbox.notify(phone=phone_for(Channel.VK, 7))
    assert told(receiver, 4) == ["delivered", "delivered", "sent", "sent"]
    assert sandbox.events() == ["accepted", "delivered"]


def test_vk_8_is_throttled_twice_for_each_message_and_then_delivered(sandbox, receiver):
    phone = phone_for(Channel.VK, 8)
    for _ in range(2):
        response = sandbox.notify(phone=phone)
        assert refusal_of(response) == (429, "THROTTLED")
        assert response.headers["Retry-After"] == "1"
    assert sandbox.notify(phone=phone).json()["status"] == "ok"
    assert refusal_of(sandbox.notify(phone=phone, message_id="another")) == (429, "THROTTLED")
    assert told(receiver, 2) == ["delivered", "sent"]


def test_vk_9_is_accepted_never_answered_and_delivered(sandbox, receiver):
    with pytest.raises(requests.ConnectionError):
        sandbox.notify(phone=phone_for(Channel.VK, 9), message_id="silent")
    assert told(receiver, 2) == ["delivered", "sent"]
    assert {line["ref"] for line in sandbox.ledger()} == {"silent"}
    assert sandbox.events() == ["ambiguous", "accepted", "delivered"]


def test_ok_7_is_told_backwards_with_true_times(sandbox, receiver):
    sandbox.notify("notify-ok", phone=phone_for(Channel.OK, 7))
    assert told_in_order(receiver, 3) == ["read", "delivered", "sent"]
    times = [heard.json()["status_at"] for heard in receiver.heard]
    assert times == sorted(times, reverse=True)
    assert sandbox.events() == ["accepted", "delivered", "read"]


def test_ok_8_is_unavailable_twice_and_then_delivered(sandbox, receiver):
    phone = phone_for(Channel.OK, 8)
    for _ in range(2):
        assert refusal_of(sandbox.notify("notify-ok", phone=phone)) == (503, "UNAVAILABLE")
    assert sandbox.notify("notify-ok", phone=phone).json()["status"] == "ok"
    assert told(receiver, 2) == ["delivered", "sent"]


def test_ok_9_hears_the_receipt_before_the_answer(sandbox, receiver):
    sandbox.notify("notify-ok", phone=phone_for(Channel.OK, 9))
    assert sorted(heard.json()["status"] for heard in receiver.heard) == ["delivered", "sent"]


def test_a_message_is_withdrawn_when_its_ttl_is_over(sandbox, receiver):
    running_out = {"phone": never_in_time(), "ttl": "15"}
    assert sandbox.notify(**running_out).json()["status"] == "ok"
    assert told(receiver, 2) == ["expired", "sent"]
    sandbox.settle()
    assert sandbox.events() == ["accepted", "expired"]


def never_in_time() -> str:
    """A number whose drawn delivery comes after 15 promised seconds, or never."""
    for serial in range(100, 1000):
        phone = f"7916{serial}0111"[:11]
        dice = chance_of(7, "notify-vk", f"+{phone}")
        if phone[-5] != "0" or draw_outcome(Channel.VK, dice) is not Outcome.DRAWN:
            continue
        if draw_steps(Channel.VK, dice, TEMPO)[1].happens > 15 * TEMPO.second:
            return phone
    raise AssertionError("no such number")


def test_the_webhook_carries_our_id_the_route_and_the_time(sandbox, receiver):
    sandbox.notify("notify-ok", message_id="ours-2")
    heard = receiver.hear(2)[1]
    told = heard.json()
    assert heard.headers["content-type"] == "application/json"
    assert set(told) == {"message_id", "status", "status_at", "route", "code"}
    assert (told["message_id"], told["route"], told["code"]) == ("ours-2", "OK", "")
    assert isinstance(told["status_at"], float)


def test_no_status_url_means_no_webhooks(sandbox, receiver):
    sandbox.notify(without=["status_url"])
    sandbox.settle()
    assert receiver.heard == []
    assert sandbox.events() == ["accepted", "delivered"]
