"""Whatever comes in the body of a webhook, nothing breaks: 200, 400 or 403, and never a fault."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import hmac
import json

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest

from hypothesis import HealthCheck, given, settings, strategies as st

from cascade.channels.base import Adapter, Receipt, UnreadableWebhookError
from cascade.gateway.app import make_app
from cascade.services.collect import collect
from cascade.services.deployment import Ledger
from cascade.services.inbox import new_receipts
from cascade.storage.sealing import Keyring
from tests.channels.samples import (
    SECRET,
    TOKEN,
    a_cloud,
    a_devino,
    a_notify,
    a_smsc,
    webhook,
)
from tests.gateway.asgi import Client, talk


REF = "0123456789abcdef0123456789abcdef"
PATHS = [
    f"/receipts/notify-vk/{TOKEN}",
    f"/receipts/devino-viber/{TOKEN}",
    "/receipts/cloud-whatsapp",
    f"/receipts/smsc/{TOKEN}",
]
KEYRING = Keyring({"test": b"k" * 32}, b"h" * 32)
ADAPTERS: tuple[Adapter, ...] = (a_notify(), a_devino(), a_cloud(), a_smsc())

STATUS = {
    "id": "wamid.1",
    "status": "delivered",
    "timestamp": "1763800000",
    "biz_opaque_callback_data": REF,
    "errors": [{"code": 131026}],
}
BODIES = [
    {"message_id": REF, "status": "delivered", "status_at": 1763800000.123, "code": ""},
    [{"providerId": 3158611117333282816, "status": "DELIVERED", "receivedAt": 1763800000}],
    {"entry": [{"changes": [{"field": "messages", "value": {"statuses": [STATUS]}}]}]},
    {"id": REF, "status": 1, "err": 0, "ts": 1763800000, "phone": "79161234567"},
]
FORM = {"id": REF, "status": "1", "err": "0", "ts": "1763800000", "phone": "79161234567"}

ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\x00", "\ud800", "1e400", "9" * 400, "-", "0001-01-01", "9999-12-31"])
    | st.sampled_from([[], {}, [[]], 10**30, -(2**63), 1e308, "x" * 300])
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A webhook of one of the providers, with some of its values replaced, doubled or dropped."""
    value = json.loads(json.dumps(draw(st.sampled_from(BODIES))))
    for _ in range(draw(st.integers(1, 3))):
        _mutate(draw, value)
    return json.dumps(value).encode()


def _mutate(draw: st.DrawFn, value: Any) -> None:
    places = list(_places(value))
    if not places:
        return
    holder, key = draw(st.sampled_from(places))
    action = draw(st.sampled_from(["replace", "double", "drop"]))
    if action == "replace":
        holder[key] = copy.deepcopy(draw(ODD))  # a later mutation must not change the strategy
    elif action == "drop":
        del holder[key]
    elif isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[str(key) + draw(st.sampled_from(["", "x", "\x00"]))] = holder[key]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """A true webhook, JSON or a form, with bytes of it changed, cut out or put in."""
    bodies = [json.dumps(one).encode() for one in BODIES] + [urlencode(FORM).encode()]
    body = bytearray(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(start + 4, len(body))))
        body[start:end] = draw(st.binary(max_size=4))
    return bytes(body)


HOSTILE = st.binary(max_size=200) | mutated() | torn()


@settings(max_examples=150, deadline=None)
@given(body=HOSTILE)
def test_no_body_makes_a_parser_raise_and_what_it_makes_of_it_can_be_stored(body: bytes):
    for adapter in ADAPTERS:
        try:
            receipts = adapter.parse(webhook(body))
        except UnreadableWebhookError:
            continue
        for one in receipts:
            assert_storable(one)
        new_receipts(KEYRING, adapter.account, receipts, body)


def assert_storable(receipt: Receipt) -> None:
    """PostgreSQL takes no NUL and no half pairs; logs take no numbers of people."""
    for text in (receipt.native_status, receipt.native_code):
        assert text.isascii()
        assert "9161234567" not in text
    for ref in (receipt.client_ref, receipt.provider_ref):
        assert ref is None or (ref.isascii() and ref.isprintable() and len(ref) <= 255)
    assert receipt.event_at is None or receipt.event_at.tzinfo is not None


@pytest.mark.integration
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bodies=st.lists(HOSTILE, min_size=4, max_size=8))
def test_no_body_is_a_fault_of_the_gateway_or_of_the_collector(
    ledger: Ledger, bodies: Sequence[bytes]
):
    app = make_app(
        adapters={one.account: one for one in ADAPTERS},
        keyring=ledger.keyring,
        engine=ledger.engine,
        trusted_hops=0,
    )

    async def work(client: Client) -> set[int]:
        asked = [
            client.post(path, body, headers=[signed(body)]) for body in bodies for path in PATHS
        ]
        return {answer.status for answer in await asyncio.gather(*asked)}

    assert talk(app, work) <= {200, 400}
    assert collect(ledger)["set_aside"] == 0


def signed(body: bytes) -> tuple[str, str]:
    digest = hmac.new(f"{SECRET}-new".encode(), body, hashlib.sha256).hexdigest()
    return ("X-Hub-Signature-256", f"sha256={digest}")
