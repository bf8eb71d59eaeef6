"""The Cloud API answers with Meta's codes and signs its webhooks."""

from __future__ import annotations

import hashlib
import hmac

import pytest
import requests

from cascade.sandbox.outcomes import Channel
from tests.sandbox.running import phone_for, template


def code_of(response):
    return response.json()["error"]["code"]


def statuses(receiver, count):
    return [
        status
        for heard in receiver.hear(count)
        for status in heard.json()["entry"][0]["changes"][0]["value"]["statuses"]
    ]


def told(receiver, count):
    """Webhooks may overtake each other on the way, so their order is the alphabet's."""
    return sorted(status["status"] for status in statuses(receiver, count))


TEXT = {"type": "text", "text": {"body": "Добрый день"}}


@pytest.mark.parametrize(
    ("status", "code", "changes"),
    [
        (401, 190, {"token": "guessed"}),
        (400, 100, {"number": "2"}),
        (400, 100, {"messaging_product": "sms"}),
        (400, 100, {"type": "sticker"}),
        (400, 131009, {"to": "12"}),
        (400, 131047, TEXT),
        (404, 132001, {"template": template("other", "42", "1900")}),
        (404, 132001, {"template": template("order_ready", "42", "1900", language="en")}),
        (400, 132000, {"template": template("order_ready", "42")}),
    ],
)
def test_a_bad_request_is_refused_with_metas_code(sandbox, status, code, changes):
    response = sandbox.whatsapp(**changes)
    assert (response.status_code, code_of(response)) == (status, code)
    (line,) = sandbox.ledger()
    assert (line["event"], line["code"]) == ("refused", str(code))


def test_a_body_that_is_no_json_is_an_invalid_parameter(sandbox):
    response = sandbox.http.post(
        f"{sandbox.url}/cloud-whatsapp/v23.0/1055/messages",
        data=b"{",
        headers={"Authorization": "Bearer bearer-secret"},
    )
    assert code_of(response) == 100


def test_a_template_is_accepted_with_an_id_of_metas_kind(sandbox):
    answer = sandbox.whatsapp().json()
    assert answer["messages"][0]["id"].startswith("wamid.")
    assert answer["contacts"][0]["wa_id"] == phone_for(Channel.WHATSAPP, 1)


def test_a_text_is_accepted_in_a_window_that_the_config_opened(sandbox):
    assert sandbox.whatsapp(to="79161111511", **TEXT).status_code == 200
    assert code_of(sandbox.whatsapp(to="79161111512", **TEXT)) == 131047


def test_a_word_of_the_person_opens_the_window(sandbox):
    to = phone_for(Channel.WHATSAPP, 1)
    assert code_of(sandbox.whatsapp(to=to, **TEXT)) == 131047
    sandbox.http.post(f"{sandbox.url}/control/inbound", json={"phone": f"+{to}"})
    assert sandbox.whatsapp(to=to, **TEXT).status_code == 200


@pytest.mark.parametrize(
    ("digit", "webhooks", "events"),
    [
        (1, ["sent", "delivered"], ["accepted", "delivered"]),
        (2, ["sent", "delivered"], ["accepted", "delivered"]),
        (3, ["sent", "delivered", "read"], ["accepted", "delivered", "read"]),
        (4, ["sent", "failed"], ["accepted", "unsupported"]),
        (6, ["sent"], ["accepted"]),
        (7, ["sent", "delivered"], ["accepted", "delivered"]),
    ],
)
def test_the_digits_of_whatsapp(sandbox, receiver, digit, webhooks, events):
    assert sandbox.whatsapp(to=phone_for(Channel.WHATSAPP, digit)).status_code == 200
    assert told(receiver, len(webhooks)) == sorted(webhooks)
    sandbox.settle()
    assert len(receiver.heard) == len(webhooks)
    assert sandbox.events() == events


def test_4_fails_with_131026(sandbox, receiver):
    sandbox.whatsapp(to=phone_for(Channel.WHATSAPP, 4))
    (failed,) = (status for status in statuses(receiver, 2) if status["status"] == "failed")
    assert [error["code"] for error in failed["errors"]] == [131026]


def test_5_is_a_paused_template(sandbox):
    response = sandbox.whatsapp(to=phone_for(Channel.WHATSAPP, 5))
    assert (response.status_code, code_of(response)) == (400, 132015)
    assert sandbox.events() == ["refused"]


def test_8_is_throttled_twice_and_then_delivered(sandbox, receiver):
    to = phone_for(Channel.WHATSAPP, 8)
    codes = [code_of(sandbox.whatsapp(to=to)) for _ in range(2)]
    assert codes == [130429, 130429]
    assert sandbox.whatsapp(to=to).status_code == 200
    assert told(receiver, 2) == ["delivered", "sent"]


def test_9_is_accepted_never_answered_and_delivered(sandbox, receiver):
    with pytest.raises(requests.ConnectionError):
        sandbox.whatsapp(to=phone_for(Channel.WHATSAPP, 9))
    assert told(receiver, 2) == ["delivered", "sent"]
    assert sandbox.events() == ["ambiguous", "accepted", "delivered"]


def test_a_webhook_is_signed_over_its_raw_body_and_echoes_our_reference(sandbox, receiver):
    ref = sandbox.whatsapp().json()["messages"][0]["id"]
    heard = receiver.hear(1)[0]
    expected = hmac.new(b"app-secret", heard.body, hashlib.sha256).hexdigest()
    assert heard.headers["x-hub-signature-256"] == f"sha256={expected}"
    status = statuses(receiver, 1)[0]
    assert (status["id"], status["biz_opaque_callback_data"]) == (ref, "b" * 32)
    assert isinstance(status["timestamp"], str)
    assert status["timestamp"].isdigit()


def test_the_handshake_asks_the_receiver_for_the_challenge(sandbox):
    assert sandbox.http.post(f"{sandbox.url}/control/handshake").json() == {"verified": True}
