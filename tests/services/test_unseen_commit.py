"""A connection that is lost during COMMIT: every transaction runs again, and the second is a no-op."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cascade.channels.base import Accepted, Unavailable, Unsupported
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState, Channel
from tests.services.journey import Journey, a_step


pytestmark = pytest.mark.integration

UnseenCommit = Callable[[], list[str]]


@pytest.mark.parametrize("key", [None, "order-1"])
def test_a_message_is_accepted_once_and_the_tick_makes_up_for_its_hint(
    journey: Journey, hints: list[Hint], unseen_commit: UnseenCommit, key: str | None
):
    lost = unseen_commit()

    message_id = journey.send(key=key)
    journey.advance(8.1)
    journey.tick()

    assert lost
    assert journey.row("SELECT count(*) FROM cascade.messages")[0] == 1
    assert {hint.attempt_id for hint in hints} == {journey.attempt(message_id).id}


def test_a_claim_gives_nothing_and_the_lease_makes_it_unknown_instead_of_sent_twice(
    journey: Journey, unseen_commit: UnseenCommit
):
    message_id = journey.send()
    lost = unseen_commit()

    assert journey.claim(message_id) == []
    journey.advance(10)
    journey.tick()

    assert lost
    assert (journey.state(message_id), journey.attempt(message_id).tries) == ("unknown", 1)


def test_an_acceptance_is_settled_once(journey: Journey, unseen_commit: UnseenCommit):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    lost = unseen_commit()

    journey.settle((claimed, Accepted(("p-1",))))
    journey.hear_of(message_id, AttemptState.DELIVERED)
    journey.collect()

    assert lost
    assert journey.state(message_id) == "delivered"
    assert len(journey.charges()) == 1


def test_a_retry_is_settled_once(journey: Journey, unseen_commit: UnseenCommit):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    lost = unseen_commit()

    journey.settle((claimed, Unavailable("refused")))

    assert lost
    assert (journey.state(message_id), journey.attempt(message_id).tries) == ("retry", 1)


def test_a_refusal_opens_one_step_and_the_tick_makes_up_for_its_hint(
    journey: Journey, hints: list[Hint], unseen_commit: UnseenCommit
):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    hints.clear()
    lost = unseen_commit()

    assert journey.settle((claimed, Unsupported("no-user"))).hints == []
    journey.advance(8.1)
    journey.tick()

    assert lost
    assert [one.state for one in journey.attempts(message_id)] == ["unsupported", "queued"]
    assert [hint.channel for hint in hints] == [Channel.OK]


def test_a_delivery_is_charged_once(journey: Journey, unseen_commit: UnseenCommit):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.hear_of(message_id, AttemptState.DELIVERED)
    lost = unseen_commit()

    journey.collect()

    assert lost
    assert journey.state(message_id) == "delivered"
    assert len(journey.charges()) == 1


def test_a_receipt_is_stored_once(journey: Journey, unseen_commit: UnseenCommit):
    message_id = journey.send()
    lost = unseen_commit()

    journey.hear_of(message_id, AttemptState.DELIVERED)

    assert lost
    assert journey.row("SELECT count(*) FROM cascade.receipts")[0] == 1


def test_an_expiry_opens_one_step(journey: Journey, unseen_commit: UnseenCommit):
    journey.policy(a_step(Channel.VK, ttl=15), a_step(Channel.OK))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(18)
    lost = unseen_commit()

    for _ in range(2):
        journey.tick()
        journey.advance(1)

    assert lost
    assert [one.state for one in journey.attempts(message_id)] == ["expired", "queued"]


def test_a_cancellation_stands(journey: Journey, unseen_commit: UnseenCommit):
    message_id = journey.send()
    lost = unseen_commit()

    journey.cascade.cancel(message_id)

    assert lost
    assert journey.message(message_id).state == "cancelled"
