from __future__ import annotations

import uuid

from decimal import Decimal

import pytest

from cascade.channels.base import Accepted, Unsupported
from cascade.domain.errors import UnknownMessageError
from cascade.domain.state import AttemptState, Channel, MessageState
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration


def test_a_status_tells_the_whole_way_of_a_message(journey: Journey):
    message_id = journey.send(sender="shop")
    journey.call(message_id, Unsupported("no-user"))
    journey.call(message_id, Accepted())
    journey.hear_of(message_id, AttemptState.SENT)
    journey.deliver(message_id)

    status = journey.cascade.status(message_id)

    assert (status.id, status.sender, status.policy) == (message_id, "shop", "default")
    assert (status.state, status.success_met) == (MessageState.DELIVERED, True)
    assert status.channel == Channel.OK
    first, second = status.attempts
    assert (first.channel, first.state, first.error, first.cost) == (
        Channel.VK,
        AttemptState.UNSUPPORTED,
        "no-user",
        None,
    )
    assert (second.state, second.cost, second.currency) == (
        AttemptState.DELIVERED,
        Decimal("0.30"),
        "RUB",
    )
    assert [one.status for one in second.receipts] == [AttemptState.SENT, AttemptState.DELIVERED]
    assert first.receipts == ()
    assert status.cost == {"RUB": Decimal("0.300000")}
    assert status.created_at <= status.attempts[0].created_at
    assert status.ended_at == second.delivered_at


def test_the_channel_of_a_message_on_its_way_is_the_one_that_serves_it_now(journey: Journey):
    message_id = journey.send()
    assert journey.cascade.status(message_id).channel == Channel.VK

    journey.call(message_id, Unsupported("no-user"))
    assert journey.cascade.status(message_id).channel == Channel.OK


def test_a_message_keeps_the_policy_version_it_was_sent_with(journey: Journey):
    journey.policy(a_step(Channel.VK))
    before = journey.send()
    journey.policy(a_step(Channel.SMS), a_step(Channel.VK))
    after = journey.send()

    journey.call(before, Unsupported("no-user"))

    older, newer = journey.cascade.status(before), journey.cascade.status(after)
    assert newer.policy_version == older.policy_version + 1
    assert older.state == MessageState.UNDELIVERED
    assert newer.channel == Channel.SMS


def test_two_deliveries_of_one_message_are_both_in_its_cost(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(60)
    journey.tick()
    journey.call(message_id, Accepted())
    for step in (0, 1):
        journey.deliver(message_id, step=step)

    assert journey.cascade.status(message_id).cost == {"RUB": Decimal("0.60")}


def test_a_status_shows_neither_the_number_nor_the_words(journey: Journey):
    shown = repr(journey.cascade.status(journey.send()))

    assert PHONE[2:] not in shown
    assert WORDS not in shown


def test_a_message_that_does_not_exist_is_named_so(journey: Journey):
    with pytest.raises(UnknownMessageError):
        journey.cascade.status(uuid.uuid4())
