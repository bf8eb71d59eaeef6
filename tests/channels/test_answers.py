"""Answers that no document describes: none raises, and none is taken for an acceptance."""

from __future__ import annotations

import json

from contextlib import suppress

import pytest

from hypothesis import given, settings, strategies as st

from cascade.channels.base import (
    Accepted,
    ForgedWebhookError,
    Rejected,
    Throttled,
    Unknown,
    UnreadableWebhookError,
)
from cascade.channels.exchange import Exchange, results
from cascade.channels.polling import receipts
from cascade.domain.message import Text
from tests.channels.samples import (
    PHONE,
    REF,
    SECRET,
    TOKEN,
    WORDS,
    a_cloud,
    a_devino,
    a_notify,
    a_smsc,
    an_item,
    answer,
    webhook,
)


BODIES = [
    b"",
    b" ",
    b"null",
    b"true",
    b"0",
    b"1e400",
    b"NaN",
    b'"ok"',
    b"[]",
    b"[null]",
    b"{}",
    b'{"status":null}',
    b'{"status":1.5}',
    b'{"status":["ok"]}',
    b'{"status":{"ok":1}}',
    b'{"status":"ok"',
    b'{"status":"ok","messages":null}',
    b'{"status":"ok","messages":{}}',
    b'{"status":"ok","messages":[null]}',
    b'{"status":"ok","messages":[{}]}',
    b'{"status":"ok","messages":[{"code":7}]}',
    b'{"status":"ok","messages":[{"code":"ok","providerId":1.5}]}',
    b'{"status":"ok","messages":[{"code":"ok","providerId":true}]}',
    b'{"messages":[]}',
    b'{"messages":[{"id":null}]}',
    b'{"messages":[{"id":"a\\u0000b"}]}',
    b'{"messages":[{"id":"\\ud800"}]}',
    b'{"error":null}',
    b'{"error":"words"}',
    b'{"error":{"code":"words"}}',
    b'{"error":{"code":[]}}',
    b'{"error_code":"words"}',
    b'{"error_code":{}}',
    b'{"id":{},"cnt":1}',
    b'{"status":"ok","status":"error","message_id":"x"}',
    b"<!doctype html><html><body>502 Bad Gateway</body></html>",
    b"\x00\xff\xfe\x80",
    b"[" * 100_000,
    b"9" * 5000,
    '{"status":"error","code":"Ваш заказ 79161234567"}'.encode(),
]


def told(adapter, response):
    (request,) = adapter.requests_for([an_item()])
    ((_, result),) = results(adapter, Exchange(request=request, outcome=response))
    return result


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_an_unreadable_success_is_unknown(adapter, body):
    assert isinstance(told(adapter, answer(body)), Unknown)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Rejected), (401, Rejected), (403, Rejected), (429, Throttled), (302, Unknown),
     (308, Rejected), (408, Unknown), (500, Unknown), (502, Unknown), (504, Unknown)],
)  # fmt: skip
def test_a_page_of_a_proxy_is_judged_by_its_status(adapter, status, kind):
    assert isinstance(told(adapter, answer("<html>oops</html>", status=status)), kind)


@pytest.mark.parametrize("status", [201, 400, 429, 500, 503])
def test_only_200_is_an_acceptance(adapter, status):
    body = {
        "status": "ok",
        "message_id": REF,
        "id": REF,
        "messages": [{"id": "wamid.A"}],
    }
    assert not isinstance(told(adapter, answer(json.dumps(body), status=status)), Accepted)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["status", "code", "messages", "error", "error_code", "id", "entry", "changes"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(value=JSON, status=st.sampled_from([200, 400, 500]))
def test_no_json_makes_an_adapter_raise(value, status):
    body = json.dumps(value)
    for adapter in (a_notify(), a_devino(), a_cloud(), a_smsc()):
        told(adapter, answer(body, status=status))
        with suppress(UnreadableWebhookError):
            adapter.parse(webhook(body))


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_an_unreadable_answer_to_a_poll_is_none(devino, smsc, body):
    for pollable in (devino, smsc):
        exchange = Exchange(request=pollable.requests_for([an_item()])[0], outcome=answer(body))
        assert not receipts(pollable, exchange)


def test_neither_phone_nor_text_nor_secret_is_in_a_repr(adapter):
    item = an_item(body=Text(WORDS))
    (request,) = adapter.requests_for([item])
    shown = repr(adapter) + str(adapter) + repr(request) + repr(item)
    shown += repr(Exchange(request=request, outcome=answer(WORDS)))
    shown += repr(webhook(WORDS, {"x-hub-signature-256": SECRET}))
    for secret in ("9161234567", WORDS, "canary"):
        assert secret not in shown


def test_nor_in_the_results_of_a_provider_that_repeats_them(adapter):
    for key in ("status", "code"):
        body = json.dumps({"status": "error", key: f"{PHONE} {WORDS} {SECRET}"})
        shown = repr(told(adapter, answer(body, status=400)))
        assert "9161234567" not in shown
        assert WORDS not in shown


def test_nor_in_the_texts_of_errors(adapter):
    body = json.dumps([{"phone": PHONE, "text": WORDS, "token": TOKEN}])
    with pytest.raises((UnreadableWebhookError, ForgedWebhookError)) as caught:
        adapter.parse(webhook(body))
    error: BaseException | None = caught.value
    assert PHONE not in repr(error)
    assert error is not None
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_nor_in_the_logs(adapter, caplog):
    caplog.set_level("DEBUG")
    told(adapter, answer("<html>"))
    for secret in ("9161234567", WORDS, "canary", "%D0%92"):
        assert secret not in caplog.text


def test_nor_in_an_address(adapter):
    (request,) = adapter.requests_for([an_item()])
    for secret in ("9161234567", "canary", "?"):
        assert secret not in request.url
