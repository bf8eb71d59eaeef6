from __future__ import annotations

import datetime as dt
import hashlib
import json

from urllib.parse import parse_qsl, urlencode

import pytest

from oauthlib.oauth1 import RequestValidator, SignatureOnlyEndpoint

from cascade.channels.base import (
    Accepted,
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
from tests.channels.samples import REF, SECRET, TOKEN, WORDS, an_item, answer, webhook


class _Shop(RequestValidator):
    """The provider's side of OAuth, by the people who wrote the standard's library."""

    client_key_length = (1, 100)
    nonce_length = (10, 100)

    def validate_client_key(self, client_key, request):
        return client_key == "shop"

    def get_client_secret(self, client_key, request):
        return SECRET

    def validate_timestamp_and_nonce(self, *args, **kwargs):
        return True

    @property
    def dummy_client(self):
        return "nobody"


def is_genuine(request, body: bytes | None = None) -> bool:
    endpoint = SignatureOnlyEndpoint(_Shop())
    genuine, _ = endpoint.validate_request(
        request.url, request.method, (body or request.body).decode(), dict(request.headers)
    )
    return genuine


def form_of(request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), strict_parsing=True))


def test_a_text_goes_out_as_the_wire_describes(notify, item):
    (request,) = notify.requests_for([item])
    assert (request.method, request.url) == ("POST", "https://notify.example/notify")
    assert form_of(request) == {
        "phone": "79161234567",
        "text": WORDS,
        "ttl": "60",
        "delivery_policy": "any",
        "service": "shop",
        "routes": "VK",
        "message_id": REF,
        "status_url": f"https://cascade.example/receipts/notify-vk/{TOKEN}",
    }


def test_a_template_goes_out_instead_of_a_text(notify):
    body = Template("ready", "ru", {"name": "Анна", "sum": "10"})
    (request,) = notify.requests_for([an_item(body=body)])
    form = form_of(request)
    assert "text" not in form
    assert form["tmpl"] == "ready"
    assert "Анна" in form["tmpl_data"]
    assert json.loads(form["tmpl_data"]) == {"name": "Анна", "sum": "10"}


def test_the_signature_is_genuine_and_covers_the_form(notify, item):
    (request,) = notify.requests_for([item])
    assert is_genuine(request)
    tampered = urlencode({**form_of(request), "ttl": "86400"}).encode()
    assert not is_genuine(request, tampered)


def test_every_request_has_a_nonce_of_its_own(notify):
    requests = notify.requests_for([an_item(1), an_item(2)])
    assert len({request.headers["Authorization"] for request in requests}) == 2


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        (200, "UNSUPPORTED", Unsupported),
        (200, "UNSUPPORTED_TEMPLATE", Rejected),
        (401, "INCORRECT_SIGNATURE", Rejected),
        (403, "NOT_ALLOWED_IP", Rejected),
        (500, "INCORRECT_SIGNATURE", Rejected),  # a code says more than the status
        (500, "NOT_ALLOWED_IP", Rejected),
        (500, "INVALID_TTL", Rejected),
        (500, "INVALID_REQUEST", Rejected),
        (400, "THROTTLED", Throttled),
        (400, "INVALID_PHONE", Undeliverable),
        (503, "UNAVAILABLE", Unavailable),
        (200, "NEW_CODE", Unknown),
        (400, "NEW_CODE", Rejected),
        (500, "NEW_CODE", Unknown),
    ],
)
def test_each_refusal_has_its_result(notify, item, status, code, result):
    (request,) = notify.requests_for([item])
    response = answer(json.dumps({"status": "error", "code": code}), status=status)
    assert notify.results_of(request, response) == [result(code)]


def test_a_throttled_call_says_when_to_come_back(notify, item):
    (request,) = notify.requests_for([item])
    response = answer(
        '{"status":"error","code":"THROTTLED"}', status=429, headers={"retry-after": "3"}
    )
    assert notify.results_of(request, response) == [Throttled("THROTTLED", 3.0)]


def test_an_echo_of_our_reference_is_an_acceptance(notify, item):
    (request,) = notify.requests_for([item])
    response = answer(json.dumps({"status": "ok", "message_id": REF, "new": [1]}))
    assert notify.results_of(request, response) == [Accepted()]


@pytest.mark.parametrize("body", ['{"status":"ok"}', '{"status":"ok","message_id":"other"}'])
def test_an_acceptance_of_something_else_is_unknown(notify, item, body):
    (request,) = notify.requests_for([item])
    assert notify.results_of(request, answer(body)) == [Unknown("http_200")]


@pytest.mark.parametrize(
    ("native", "state"),
    [
        ("sent", AttemptState.SENT),
        ("delivered", AttemptState.DELIVERED),
        ("read", AttemptState.READ),
        ("unsupported", AttemptState.UNSUPPORTED),
        ("undelivered", AttemptState.UNDELIVERABLE),
        ("expired", AttemptState.EXPIRED),
        ("pondered", AttemptState.UNKNOWN),
    ],
)
def test_each_status_has_its_state(notify, native, state):
    body = {"message_id": REF, "status": native, "status_at": 1763800000.5, "route": "VK"}
    (receipt,) = notify.parse(webhook(json.dumps({**body, "code": "WHY"})))
    assert (receipt.status, receipt.native_status) == (state, native)
    assert receipt.native_code == "WHY"
    assert receipt.client_ref == REF
    assert receipt.event_at == dt.datetime(2025, 11, 22, 8, 26, 40, 500_000, dt.UTC)


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '{"status":"read"}',
        '{"message_id":"\\u0000","status":"read"}',
        '{"message_id":"a","status":1}',
        '{"message_id":"a","status":"failed","status":"delivered"}',
        "<html>",
    ],
)
def test_a_webhook_that_is_no_status_is_unreadable(notify, body):
    with pytest.raises(UnreadableWebhookError, match=r"^not a status of Notify$"):
        notify.parse(webhook(body))


def test_its_webhooks_are_vouched_for_by_a_token(notify):
    assert notify.token_digests == {hashlib.sha256(TOKEN.encode()).digest()}
    notify.verify(webhook(""))
    assert notify.handshake({"hub.mode": "subscribe"}) is None
    assert (notify.ack().status, notify.ack().body) == (200, b"")
