from __future__ import annotations

import datetime as dt
import itertools
import uuid

from decimal import Decimal

import pytest

from cascade import AttemptState, Channel, MessageState
from tests.acceptance.conftest import NUMBERS
from tests.acceptance.service import Service


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def test_a_message_passes_four_channels_that_fail_and_arrives_by_the_fifth(
    service: Service, campaign: dict[str, uuid.UUID]
) -> None:
    status = service.status(campaign["five channels"])
    assert status.state is MessageState.DELIVERED
    assert status.success_met
    assert status.channel is Channel.SMS
    assert [(one.channel, one.state) for one in status.attempts] == [
        (Channel.VK, AttemptState.UNSUPPORTED),
        (Channel.OK, AttemptState.UNSUPPORTED),
        (Channel.VIBER, AttemptState.UNSUPPORTED),
        (Channel.WHATSAPP, AttemptState.UNSUPPORTED),
        (Channel.SMS, AttemptState.DELIVERED),
    ]


def test_its_status_is_a_timeline_without_gaps(
    service: Service, campaign: dict[str, uuid.UUID]
) -> None:
    status = service.status(campaign["five channels"])
    assert status.created_at == status.attempts[0].created_at
    for one, following in itertools.pairwise(status.attempts):
        assert in_order(one.created_at, one.started_at, one.ended_at)
        assert one.ended_at == following.created_at
    last = status.attempts[-1]
    assert in_order(last.created_at, last.started_at, last.sent_at, last.delivered_at)
    assert last.delivered_at == last.ended_at == status.ended_at
    assert AttemptState.DELIVERED in {one.status for one in last.receipts}


def test_only_the_delivery_costs_and_exactly_what_the_provider_bills(
    service: Service, campaign: dict[str, uuid.UUID]
) -> None:
    status = service.status(campaign["five channels"])
    to = NUMBERS["five channels"]
    billed = [e for e in service.sandbox_events("delivered") if e["recipient"] == to]
    assert [one["channel"] for one in billed] == ["sms"]
    assert status.cost == {"RUB": Decimal(billed[0]["amount"])}
    assert [one.cost for one in status.attempts] == [None] * 4 + [Decimal(billed[0]["amount"])]


def test_a_message_that_nobody_can_deliver_ends_undelivered_and_costs_nothing(
    service: Service, campaign: dict[str, uuid.UUID]
) -> None:
    status = service.status(campaign["nowhere"])
    assert status.state is MessageState.UNDELIVERED
    assert [one.state for one in status.attempts] == [
        AttemptState.UNSUPPORTED,
        AttemptState.UNSUPPORTED,
        AttemptState.UNSUPPORTED,
        AttemptState.REJECTED,
        AttemptState.UNDELIVERABLE,
    ]
    assert status.cost == {}


def test_repeated_and_disordered_webhooks_charge_once_and_nothing_is_sent_twice(
    service: Service, campaign: dict[str, uuid.UUID]
) -> None:
    for name in ("twice", "out of order"):
        status = service.status(campaign[name])
        assert status.state is MessageState.DELIVERED
        assert len([one for one in status.attempts if one.cost is not None]) == 1
    accepted = service.accepted_events(campaign.values())
    assert set(accepted.values()) == {0, 1}


def test_a_channel_that_does_not_answer_in_time_gives_way_to_the_next(
    service: Service, campaign: dict[str, uuid.UUID]
) -> None:
    whatsapp, sms = service.status(campaign["expired"]).attempts
    assert (whatsapp.state, whatsapp.error) == (AttemptState.EXPIRED, "expired")
    assert sms.state is AttemptState.DELIVERED
    assert sms.created_at == whatsapp.ended_at


def in_order(*times: dt.datetime | None) -> bool:
    """Whether all of these are known, none before the one that is named before it."""
    known = [time for time in times if time is not None]
    return len(known) == len(times) and known == sorted(known)
