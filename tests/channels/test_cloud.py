from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json

import pytest

from cascade.channels.base import (
    Accepted,
    ForgedWebhookError,
    Rejected,
    Throttled,
    Unavailable,
    Undeliverable,
    Unknown,
    UnreadableWebhookError,
    Unsupported,
)
from cascade.domain.message import Template
from cascade.domain.state import AttemptState
from tests.channels.samples import REF, SECRET, WORDS, an_item, answer, webhook


def signature(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def notification(*statuses: object, field: str = "messages") -> str:
    value = {"messaging_product": "whatsapp", "metadata": {}, "statuses": list(statuses)}
    change = {"field": field, "value": value}
    entry = {"id": "1", "changes": [change]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def status(native: str, **more: object) -> dict[str, object]:
    return {
        "id": "wamid.A==",
        "status": native,
        "timestamp": "1763800000",
        "recipient_id": "79161234567",
        "biz_opaque_callback_data": REF,
        **more,
    }


def test_a_template_goes_out_as_documented(cloud):
    body = Template("ready", "ru", {"name": "Анна", "sum": "10"})
    (request,) = cloud.requests_for([an_item(body=body)])
    assert request.url == "https://graph.facebook.com/v23.0/1234567890/messages"
    assert request.method == "POST"
    assert request.headers == {
        "Authorization": f"Bearer {SECRET}",
        "Content-Type": "application/json",
    }
    assert "Анна".encode() in request.body
    parameters = [{"type": "text", "text": "Анна"}, {"type": "text", "text": "10"}]
    assert json.loads(request.body) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "79161234567",
        "type": "template",
        "template": {
            "name": "ready",
            "language": {"code": "ru", "policy": "deterministic"},
            "components": [{"type": "body", "parameters": parameters}],
        },
        "biz_opaque_callback_data": REF,
    }


def test_a_template_without_parameters_has_no_components(cloud):
    (request,) = cloud.requests_for([an_item(body=Template("ready", "ru", {}))])
    assert "components" not in json.loads(request.body)["template"]


def test_a_text_goes_out_as_documented(cloud, item):
    (request,) = cloud.requests_for([item])
    body = json.loads(request.body)
    assert body["type"] == "text"
    assert body["text"] == {"body": WORDS, "preview_url": False}


def test_each_item_has_a_call_of_its_own(cloud):
    requests = cloud.requests_for([an_item(1), an_item(2)])
    assert [len(request.items) for request in requests] == [1, 1]


def test_an_answer_and_its_receipts_have_the_same_reference_which_hides_the_phone(cloud, item):
    # Meta's ids are base64 over bytes among which the phone number stands in the clear.
    wamid = "wamid.HRgLNzkxNjEyMzQ1NjcVAgARGBI5QUVBNDM3MzRFNkU2NUQyRkEA"
    (request,) = cloud.requests_for([item])
    response = answer(f'{{"messages":[{{"id":"{wamid}","message_status":"accepted"}}],"x":1}}')
    (result,) = cloud.results_of(request, response)
    (receipt,) = cloud.parse(webhook(notification({**status("sent"), "id": wamid})))
    assert isinstance(result, Accepted)
    assert result.refs == (receipt.provider_ref,)
    assert len(result.refs[0]) == 32
    assert "NzkxNjEyMzQ1Njc" not in result.refs[0]
    (other,) = cloud.parse(webhook(notification({**status("sent"), "id": wamid[:-1]})))
    assert other.provider_ref != receipt.provider_ref


@pytest.mark.parametrize(
    ("http", "code", "result"),
    [
        (401, 190, Rejected("190")),
        (403, 10, Rejected("10")),
        (403, 200, Rejected("200")),
        (403, 299, Rejected("299")),
        (400, 100, Rejected("100")),
        (400, 131047, Rejected("131047")),
        (404, 132001, Rejected("132001")),
        (400, 131048, Rejected("131048")),
        (400, 131026, Unsupported("131026")),
        (400, 131049, Undeliverable("131049")),
        (400, 130472, Undeliverable("130472")),
        (400, 130429, Throttled("130429")),
        (500, 4, Throttled("4")),
        (400, 131056, Throttled("131056", 6.0)),
        (500, 131016, Unavailable("131016")),
        (500, 131000, Unavailable("131000")),
        (500, 1, Unknown("1")),
        (400, 999999, Rejected("999999")),
        (500, 999999, Unknown("999999")),
    ],
)
def test_each_error_has_its_result(cloud, item, http, code, result):
    (request,) = cloud.requests_for([item])
    error = {"message": "(#1) secret words", "type": "OAuthException", "code": code}
    response = answer(json.dumps({"error": error}), status=http)
    assert cloud.results_of(request, response) == [result]


@pytest.mark.parametrize(
    ("http", "codes", "result"),
    [
        (400, (4, 80007, 130429), Throttled),
        (400, (2, 131000, 131016, 131057, 135000), Unavailable),
        (400, (131026,), Unsupported),
        (400, (131021, 130472, 131049, 131050), Undeliverable),
        (500, (0, 190, 3, 10, 131005, *range(200, 300)), Rejected),
        (500, (33, 100, 131008, 131009, 131048, 131064, 131030, 131047), Rejected),
        (500, (132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016), Rejected),
        (500, (131042, 131044, 368, 130497, 131031, 131037, 131045), Rejected),
        (500, (131051, 131052, 131053, 131062, 131063, 137000), Rejected),
    ],
)
def test_a_code_says_more_than_the_status(cloud, item, http, codes, result):
    (request,) = cloud.requests_for([item])
    for code in codes:
        response = answer(json.dumps({"error": {"code": code}}), status=http)
        assert cloud.results_of(request, response) == [result(str(code))]


@pytest.mark.parametrize("secret", ["canary-secret-new", "canary-secret-old"])
def test_every_active_secret_may_sign(cloud, secret):
    body = notification(status("read")).encode()
    cloud.verify(webhook(body, {"x-hub-signature-256": signature(secret, body)}))


def test_a_flipped_bit_anywhere_is_a_forgery(cloud):
    body = notification(status("read")).encode()
    genuine = signature("canary-secret-new", body)
    for bit in range(len(body) * 8):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ForgedWebhookError):
            cloud.verify(webhook(bytes(flipped), {"x-hub-signature-256": genuine}))
    for at in range(len(genuine)):
        other = "0" if genuine[at] != "0" else "1"
        forged = genuine[:at] + other + genuine[at + 1 :]
        with pytest.raises(ForgedWebhookError):
            cloud.verify(webhook(body, {"x-hub-signature-256": forged}))


@pytest.mark.parametrize("given", [None, "", "sha256=", "md5=00", "sha256=é", "canary-secret-new"])
def test_a_missing_or_odd_signature_is_a_forgery(cloud, given):
    headers = {} if given is None else {"x-hub-signature-256": given}
    with pytest.raises(ForgedWebhookError, match=r"^the signature fits no active app secret$"):
        cloud.verify(webhook("{}", headers))


def test_a_retired_secret_no_longer_signs(cloud):
    body = b"{}"
    with pytest.raises(ForgedWebhookError):
        cloud.verify(webhook(body, {"x-hub-signature-256": signature("retired", body)}))


@pytest.mark.parametrize(
    ("native", "code", "state"),
    [
        ("sent", None, AttemptState.SENT),
        ("delivered", None, AttemptState.DELIVERED),
        ("read", None, AttemptState.READ),
        ("played", None, AttemptState.READ),
        ("failed", 131026, AttemptState.UNSUPPORTED),
        ("failed", 131049, AttemptState.UNDELIVERABLE),
        ("failed", 132015, AttemptState.REJECTED),
        ("failed", 130429, AttemptState.UNDELIVERABLE),
        ("failed", 999999, AttemptState.UNDELIVERABLE),
        ("failed", None, AttemptState.UNDELIVERABLE),
        ("pondered", None, AttemptState.UNKNOWN),
    ],
)
def test_each_status_has_its_state(cloud, native, code, state):
    errors = [] if code is None else [{"code": code, "title": "words", "href": "https://x"}]
    (receipt,) = cloud.parse(webhook(notification(status(native, errors=errors))))
    assert (receipt.status, receipt.native_status) == (state, native)
    assert receipt.native_code == ("" if code is None else str(code))
    assert receipt.client_ref == REF
    assert receipt.event_at == dt.datetime(2025, 11, 22, 8, 26, 40, tzinfo=dt.UTC)


def test_all_statuses_of_a_notification_are_read_and_the_bad_one_left_out(cloud):
    body = notification(status("sent"), {"id": 7}, None, status("delivered"))
    states = [receipt.status for receipt in cloud.parse(webhook(body))]
    assert states == [AttemptState.SENT, AttemptState.DELIVERED]


@pytest.mark.parametrize(
    "body",
    [
        notification(status("read"), field="account_update"),
        notification(),
        '{"entry":[{"changes":[{"field":"messages","value":{"messages":[{"id":"x"}]}}]}]}',
        '{"entry":[]}',
    ],
)
def test_other_news_holds_no_receipts(cloud, body):
    assert cloud.parse(webhook(body)) == []


@pytest.mark.parametrize("body", ["[]", "{}", '{"entry":7}', "<html>", notification(7)])
def test_what_is_no_notification_is_unreadable(cloud, body):
    with pytest.raises(UnreadableWebhookError, match=r"^no notification of WhatsApp$"):
        cloud.parse(webhook(body))


def test_the_handshake_answers_only_to_our_verify_token(cloud):
    query = {
        "hub.mode": "subscribe",
        "hub.verify_token": "canary-secret-verify",
        "hub.challenge": "42",
    }
    assert cloud.handshake(query) == "42"
    assert cloud.handshake({**query, "hub.verify_token": "x"}) is None
    assert cloud.handshake({**query, "hub.mode": "unsubscribe"}) is None
    assert cloud.handshake({}) is None


def test_it_signs_so_its_address_holds_no_token(cloud):
    assert cloud.token_digests == frozenset()
    assert cloud.webhook_url == "https://cascade.example/receipts/cloud-whatsapp"
