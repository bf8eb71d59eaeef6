from __future__ import annotations

import base64
import datetime as dt

from dataclasses import replace
from typing import Any

import pytest

from uuid_utils.compat import uuid7

from cascade.channels.base import Accepted
from cascade.domain.event import OnStatus
from cascade.domain.message import Template
from cascade.domain.state import Lane
from cascade.services.request import open_request, seal_request
from cascade.services.submission import Submission, check
from cascade.services.submit import submit
from cascade.storage.sealing import Keyring, UnsealableError
from tests.services.journey import PHONE, WORDS, Journey


@pytest.fixture
def keyring() -> Keyring:
    return Keyring({"test": b"k" * 32}, b"h" * 32)


def whole(**more: Any) -> Submission:
    asked = Submission(
        to=PHONE,
        text={"ru": "#name#, " + WORDS, "en": "#name#, your order is ready"},
        texts={"sms": "#name#: " + WORDS},
        language="ru",
        policy=[{"channel": "vk", "ttl": "1h"}, {"channel": "sms", "ttl": "60s"}],
        variables={"name": "Анна"},
        templates={"whatsapp": Template("ready", "ru", {"1": "#name#"})},
        sender="shop",
        key="order-1",
        send_at=dt.datetime(2089, 1, 1, tzinfo=dt.UTC),
        on_status=OnStatus("shop.on_status", "shop"),
        deadline=dt.datetime(2090, 1, 1, tzinfo=dt.UTC),
        priority=Lane.BULK,
        message_id=uuid7(),
    )
    return replace(asked, **more)


def test_a_request_comes_out_of_the_broker_as_it_went_in(keyring: Keyring):
    asked = whole()
    assert asked.message_id is not None

    sealed = seal_request(keyring, asked.message_id, asked)

    assert open_request(keyring, asked.message_id, sealed) == asked


def test_the_broker_sees_neither_the_number_nor_the_words(keyring: Keyring):
    sealed = seal_request(keyring, uuid7(), whole())

    plain = base64.b64decode(sealed)
    for secret in (PHONE, PHONE[1:], WORDS, "Анна", "order-1"):
        assert secret.encode() not in plain


def test_a_request_under_another_id_is_refused(keyring: Keyring):
    sealed = seal_request(keyring, uuid7(), whole())

    with pytest.raises(UnsealableError):
        open_request(keyring, uuid7(), sealed)


@pytest.mark.parametrize("sealed", ["", "AAAA", "not base64!", "BHRlc3Q="])
def test_garbage_from_the_broker_is_refused_in_words(keyring: Keyring, sealed: str):
    with pytest.raises((UnsealableError, ValueError)):
        open_request(keyring, uuid7(), sealed)


@pytest.mark.integration
def test_a_request_that_is_delivered_twice_is_one_message(journey: Journey):
    asked = whole(deadline=None)
    assert asked.message_id is not None
    sealed = seal_request(journey.ledger.keyring, asked.message_id, asked)

    results = [
        submit(
            journey.ledger, [check(open_request(journey.ledger.keyring, asked.message_id, sealed))]
        )
        for _ in range(3)
    ]

    assert results == [[asked.message_id]] * 3
    assert len(journey.attempts(asked.message_id)) == 1


@pytest.mark.integration
def test_a_repeat_after_the_message_was_delivered_does_not_start_it_again(journey: Journey):
    asked = whole(key=None, send_at=None)
    assert asked.message_id is not None
    submit(journey.ledger, [check(asked)])
    journey.call(asked.message_id, Accepted())
    journey.deliver(asked.message_id)

    submit(journey.ledger, [check(asked)])

    assert journey.message(asked.message_id).state == "delivered"
    assert len(journey.attempts(asked.message_id)) == 1
