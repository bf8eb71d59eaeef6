from __future__ import annotations

import datetime as dt

import pytest

from cascade.channels.base import Accepted
from cascade.domain.errors import InvalidInputError
from cascade.domain.hint import Hint
from cascade.domain.state import Channel
from tests.services.journey import Journey, a_step


pytestmark = pytest.mark.integration


def in_seconds(journey: Journey, seconds: float) -> dt.datetime:
    now: dt.datetime = journey.row("SELECT cascade.clock()")[0]
    return now + dt.timedelta(seconds=seconds)


def test_a_scheduled_message_is_neither_hinted_at_nor_claimed_before_its_time(
    journey: Journey, hints: list[Hint]
):
    message_id = journey.send(send_at=in_seconds(journey, 3600))

    journey.advance(3500)
    journey.tick()

    assert journey.attempt(message_id).state == "scheduled"
    assert hints == []
    assert journey.claim(message_id) == []


def test_a_scheduled_message_goes_out_at_its_time(journey: Journey, hints: list[Hint]):
    message_id = journey.send(send_at=in_seconds(journey, 3600))

    journey.advance(3601)
    journey.tick()

    assert [hint.attempt_id for hint in hints] == [journey.attempt(message_id).id]
    journey.call(message_id, Accepted())
    assert journey.attempt(message_id).state == "sent"


def test_a_time_that_is_over_means_at_once(journey: Journey, hints: list[Hint]):
    message_id = journey.send(send_at=in_seconds(journey, -5))

    assert journey.attempt(message_id).state == "queued"
    assert len(hints) == 1


def test_the_deadline_of_a_scheduled_message_runs_from_its_time(journey: Journey):
    send_at = in_seconds(journey, 86_400)

    message = journey.message(journey.send(send_at=send_at))

    assert message.deadline == send_at + dt.timedelta(hours=72)


def test_a_scheduled_message_that_is_cancelled_is_never_sent(journey: Journey, hints: list[Hint]):
    message_id = journey.send(send_at=in_seconds(journey, 60))

    assert journey.cascade.cancel(message_id)
    journey.advance(61)
    journey.tick()

    assert journey.message(message_id).state == "cancelled"
    assert hints == []


def test_an_outage_beyond_the_deadline_ends_a_scheduled_message(journey: Journey):
    send_at = in_seconds(journey, 60)
    message_id = journey.send(send_at=send_at, deadline=send_at + dt.timedelta(seconds=300))

    journey.advance(600)
    journey.tick()
    journey.advance(2)
    journey.tick()

    assert journey.message(message_id).state == "undelivered"


def test_a_policys_own_deadline_holds_where_the_message_names_none(journey: Journey):
    before = in_seconds(journey, 0)
    message = journey.message(journey.send(policy="code"))
    assert message.deadline - before < dt.timedelta(minutes=11)


def test_a_deadline_too_near_for_every_provider_is_refused(journey: Journey):
    steps = [{"channel": "vk", "ttl": "20s"}, {"channel": "viber", "ttl": "40s"}]
    with pytest.raises(InvalidInputError, match="deadline"):
        journey.send(policy=steps, deadline=in_seconds(journey, 8))
    assert journey.row("SELECT count(*) FROM cascade.messages")[0] == 0


def test_times_that_sum_beyond_the_deadline_are_refused_where_both_are_given(journey: Journey):
    steps = [{"channel": "vk", "ttl": "20s"}, {"channel": "sms", "ttl": "60s"}]
    with pytest.raises(
        InvalidInputError,
        match="policy, step 2: the times up to here sum to 80s, beyond the deadline of 70s",
    ):
        journey.send(policy=steps, deadline=in_seconds(journey, 70))
    journey.send(policy=steps, deadline=in_seconds(journey, 79.5))  # its caller took time to ask


def test_equal_inline_policies_are_one_and_go_their_way(journey: Journey):
    steps = [
        {"channel": "viber", "ttl": "30s", "max_wait": "20s"},
        {"channel": "sms", "ttl": "60s"},
    ]

    first, second = journey.send(policy=steps), journey.send(policy=steps)

    status = journey.cascade.status(first)
    assert status.policy.startswith("inline-")
    assert status.attempts[0].channel == "viber"
    assert journey.message(first).policy_id == journey.message(second).policy_id


def test_a_named_policy_with_no_step_that_could_run_in_time_is_refused(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl_minimum=15), name="slow")
    with pytest.raises(InvalidInputError, match="no provider of the policy"):
        journey.send(policy="slow", deadline=in_seconds(journey, 10))
