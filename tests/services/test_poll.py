from __future__ import annotations

import uuid

from collections.abc import Callable

import pytest

from cascade.channels.base import Accepted
from cascade.domain.state import Channel
from cascade.services.deployment import Deployment
from cascade.services.poll import poll, pollable_accounts
from tests.channels.wire import refused_url
from tests.services.courier import AskableCourier, Courier, Desk, able
from tests.services.journey import PHONE, Journey, a_step


pytestmark = pytest.mark.integration

Deployed = Callable[..., Deployment]

OTHER = "+79161234568"


@pytest.fixture
def asking(desk: Desk, deployed: Deployed) -> Deployment:
    return deployed(AskableCourier(url=desk.url))


def over(journey: Journey, *phones: str) -> list[uuid.UUID]:
    """Messages whose TTL is over since half a second."""
    journey.policy(a_step(Channel.VK, ttl=60), a_step(Channel.OK))
    messages = [journey.send(to=phone) for phone in phones or (PHONE,)]
    for one in messages:
        journey.call(one, Accepted())
    journey.advance(60.5)
    return messages


def test_only_accounts_that_can_be_asked_are(desk: Desk, deployed: Deployed):
    mute = Courier(url=desk.url, account="mute", capabilities=able(poll=True))
    shy = AskableCourier(url=desk.url, account="shy", capabilities=able(poll=False))
    open_one = AskableCourier(url=desk.url)

    assert pollable_accounts(deployed(mute, shy, open_one)) == {"notify-vk"}


def test_the_answer_of_a_poll_goes_through_the_inbox(
    journey: Journey, desk: Desk, asking: Deployment
):
    [message_id] = over(journey)
    desk.says = lambda _line: "delivered"

    counts = poll(asking)

    assert (counts["asked"], counts["receipts"]) == (1, 1)
    assert journey.state(message_id) == "sent"
    assert journey.attempt(message_id).polled_at is not None
    assert desk.lines[0]["phone"] == PHONE
    journey.collect()
    assert journey.state(message_id) == "delivered"
    assert len(journey.charges()) == 1


def test_the_same_answer_by_poll_and_again_by_poll_is_one_receipt(
    journey: Journey, desk: Desk, asking: Deployment
):
    over(journey)
    desk.says = lambda _line: "delivered"

    poll(asking)
    journey.change("UPDATE cascade.attempts SET polled_at = NULL")
    poll(asking)

    assert journey.row("SELECT count(*) FROM cascade.receipts")[0] == 1


def test_an_attempt_that_was_answered_about_is_not_asked_about_again(
    journey: Journey, desk: Desk, asking: Deployment
):
    over(journey)
    desk.says = lambda _line: None

    assert poll(asking)["asked"] == 1
    assert poll(asking)["asked"] == 0
    assert journey.row("SELECT count(*) FROM cascade.receipts")[0] == 0


def test_nobody_is_asked_before_the_ttl_is_over(journey: Journey, desk: Desk, asking: Deployment):
    journey.policy(a_step(Channel.VK, ttl=60))
    journey.call(journey.send(), Accepted())
    journey.advance(59)
    journey.change("UPDATE cascade.attempts SET due_at = cascade.clock()")

    assert poll(asking)["asked"] == 0
    assert desk.calls == []


@pytest.mark.parametrize("words", ["garbage", ["one too many"]])
def test_an_answer_that_cannot_be_read_is_no_answer(
    journey: Journey, desk: Desk, asking: Deployment, words: object
):
    [message_id] = over(journey)
    desk.says = lambda _line: words

    counts = poll(asking)

    assert counts["silent"] == 1
    assert journey.attempt(message_id).polled_at is None
    assert poll(asking)["asked"] == 1


def test_a_provider_that_cannot_be_reached_is_asked_again(journey: Journey, deployed: Deployed):
    [message_id] = over(journey)
    gone = deployed(AskableCourier(url=refused_url()))

    assert poll(gone)["silent"] == 1
    assert journey.attempt(message_id).polled_at is None


def test_who_cannot_be_asked_about_is_not_waited_for(
    journey: Journey, desk: Desk, deployed: Deployed
):
    [message_id] = over(journey)
    deployment = deployed(Forgetful(url=desk.url))

    poll(deployment)
    journey.advance(2)
    journey.tick(["notify-vk"])

    assert desk.calls == []
    assert journey.state(message_id, 0) == "expired"


class Forgetful(AskableCourier):
    """Finds nothing without a reference that it never gave."""

    def poll_requests_for(self, pending):
        return []


def test_a_row_that_cannot_be_opened_stops_no_other_question(
    journey: Journey, desk: Desk, asking: Deployment
):
    bad, good = over(journey, PHONE, OTHER)
    journey.change("UPDATE cascade.messages SET recipient = '\\x00' WHERE id = :id", id=bad)
    desk.says = lambda _line: "delivered"

    poll(asking)
    journey.collect()

    assert [line["phone"] for line in desk.lines] == [OTHER]
    assert journey.state(good) == "delivered"
    assert journey.attempt(bad).polled_at is not None


def test_a_delivery_told_by_poll_keeps_the_tick_from_falling_back(
    journey: Journey, desk: Desk, asking: Deployment
):
    [message_id] = over(journey)
    desk.says = lambda _line: "delivered"
    poll(asking)
    journey.advance(2)

    journey.tick(["notify-vk"])
    assert journey.state(message_id) == "sent"
    journey.collect()

    assert [one.state for one in journey.attempts(message_id)] == ["delivered"]


def test_many_attempts_are_asked_about_in_sets(journey: Journey, desk: Desk, asking: Deployment):
    over(journey, *[PHONE] * 25)
    desk.says = lambda _line: "delivered"

    assert poll(asking)["receipts"] == 25
    assert journey.collect()["delivered"] == 25
