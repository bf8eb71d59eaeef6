from __future__ import annotations

import base64
import json
import time

import pytest

from hypothesis import given, strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from cascade.callbacks.signature import headers, key_of


OLD, NEW = b"o" * 24, b"n" * 32
DOCUMENTS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers())


def secret(key: bytes) -> str:
    return f"whsec_{base64.b64encode(key).decode()}"


def signed(*keys: bytes, body: bytes = b"{}", age: int = 0) -> dict[str, str]:
    return headers(keys, "an-id", int(time.time()) - age, body)


@given(st.binary(min_size=24, max_size=64), DOCUMENTS)
def test_the_reference_library_takes_our_signatures(key: bytes, document: dict[str, int]):
    body = json.dumps(document, ensure_ascii=False).encode()

    assert Webhook(secret(key)).verify(body, signed(key, body=body)) == document


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_is_read_as_the_reference_library_reads_it(key: bytes):
    assert key_of(secret(key)) == key


def test_while_a_secret_is_rotated_receivers_with_either_one_are_content():
    both = signed(OLD, NEW)

    for key in (OLD, NEW):
        assert Webhook(secret(key)).verify(b"{}", both) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(b"x" * 24)).verify(b"{}", both)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_changed_header_is_refused(name: str):
    changed = signed(OLD)
    # Not one of the last: some of their bits mean nothing in base64.
    letter = changed[name][4]
    changed[name] = changed[name].replace(letter, "0" if letter != "0" else "1")

    with pytest.raises(WebhookVerificationError):
        Webhook(secret(OLD)).verify(b"{}", changed)


def test_a_changed_body_and_an_old_webhook_are_refused():
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(OLD)).verify(b"[]", signed(OLD))
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret(OLD)).verify(b"{}", signed(OLD, age=600))


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "whsec_"),
        (base64.b64encode(OLD).decode(), "whsec_"),
        ("whsec_", "0 bytes"),
        ("whsec_?", "not base64"),
        (secret(b"k" * 23), "23 bytes"),
        (secret(b"k" * 65), "65 bytes"),
    ],
)
def test_a_secret_that_is_none_is_refused_and_not_shown(written: str, problem: str):
    with pytest.raises(ValueError, match=problem) as refused:
        key_of(written)
    assert len(written) < 10 or written not in str(refused.value)
