from __future__ import annotations

import datetime as dt

from typing import Any

import pytest

from sqlalchemy import text

from cascade.channels.base import (
    Accepted,
    Rejected,
    Result,
    Throttled,
    Unavailable,
    Undeliverable,
    Unknown,
    Unsupported,
)
from cascade.domain.engine import RECEIPT_GRACE
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState, Channel, Lane
from tests.services.journey import Journey, a_step


pytestmark = pytest.mark.integration


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=1.5)


def left(journey: Journey, moment: dt.datetime) -> float:
    now = journey.row("SELECT cascade.clock()")[0]
    return float((moment - now).total_seconds())


def test_an_accepted_attempt_is_sent_and_waits_for_its_receipt(journey: Journey):
    message_id = journey.send()

    journey.call(message_id, Accepted())

    attempt = journey.attempt(message_id)
    assert (attempt.state, attempt.lease_until) == ("sent", None)
    assert attempt.sent_at is not None
    journey.advance(11)  # the look that was meant for a lost hint
    assert journey.tick()["postponed"] == 1
    assert journey.attempt(message_id).due_at == attempt.expires_at + RECEIPT_GRACE


def test_an_acceptance_after_the_receipt_keeps_the_higher_state(journey: Journey):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    journey.deliver(message_id)

    journey.settle((claimed, Accepted(("p-1",))))

    attempt = journey.attempt(message_id)
    assert attempt.state == "delivered"
    assert attempt.due_at is None
    assert attempt.provider_ref == "p-1"
    assert journey.message(message_id).state == "delivered"


def test_every_reference_of_the_provider_is_kept(journey: Journey):
    message_id = journey.send()

    journey.call(message_id, Accepted(("p-1", "p-2")))

    refs = journey.rows(
        "SELECT account, ref, attempt_id, part, try FROM cascade.provider_refs ORDER BY part"
    )
    attempt = journey.attempt(message_id)
    assert [tuple(one) for one in refs] == [
        ("notify-vk", "p-1", attempt.id, 0, 1),
        ("notify-vk", "p-2", attempt.id, 1, 1),
    ]
    assert attempt.provider_ref == "p-1"


def test_nobody_falls_back_while_the_provider_may_still_deliver(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=60, ttl_minimum=15))
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    journey.advance(4)

    journey.settle((claimed, Accepted()))

    attempt = journey.attempt(message_id)
    assert left(journey, attempt.expires_at) == about(60)
    journey.advance(20)
    journey.tick()
    assert left(journey, journey.attempt(message_id).due_at) == about(42)


def test_a_short_rest_is_waited_for_as_long_as_the_providers_minimum(journey: Journey):
    journey.policy(a_step(Channel.VIBER, ttl=60, ttl_minimum=30))
    message_id = journey.send()
    journey.call(message_id, Unavailable("refused"))
    journey.advance(50)
    journey.tick()

    journey.call(message_id, Accepted())

    assert left(journey, journey.attempt(message_id).expires_at) == about(30)


def test_a_provider_without_a_ttl_of_its_own_extends_nothing(journey: Journey):
    journey.policy(a_step(Channel.SMS, ttl=60))
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    journey.advance(4)

    journey.settle((claimed, Accepted()))

    assert left(journey, journey.attempt(message_id).expires_at) == about(56)


def test_an_ambiguous_call_is_unknown_and_is_waited_for(journey: Journey, hints: list[Hint]):
    journey.policy(a_step(Channel.VK, ttl=60, ttl_minimum=15), a_step(Channel.SMS))
    message_id = journey.send()
    hints.clear()

    journey.call(message_id, Unknown("reset"))

    attempt = journey.attempt(message_id)
    assert (attempt.state, attempt.error, attempt.lease_until) == ("unknown", "reset", None)
    assert len(journey.attempts(message_id)) == 1
    journey.advance(30)
    journey.tick()
    assert left(journey, journey.attempt(message_id).due_at) == about(32)
    assert hints == []


def test_an_ambiguous_answer_after_the_receipt_keeps_the_higher_state(journey: Journey):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    journey.deliver(message_id)

    journey.settle((claimed, Unknown("reset")))

    assert journey.state(message_id) == "delivered"
    assert journey.attempt(message_id).due_at is None


@pytest.mark.parametrize("result", [Unavailable("refused"), Throttled("429")])
def test_what_was_provably_not_sent_is_tried_again_after_a_pause(
    journey: Journey, hints: list[Hint], result: Result
):
    message_id = journey.send()
    hints.clear()

    journey.call(message_id, result)

    attempt = journey.attempt(message_id)
    assert (attempt.state, attempt.lease_until) == ("retry", None)
    assert 0 < left(journey, attempt.due_at) <= 1
    assert journey.claim(message_id) == []
    journey.advance(1.1)
    journey.tick()
    assert hints == [Hint(Channel.VK, Lane.NORMAL, attempt.id)]
    assert [one.tries for one in journey.claim(message_id)] == [2]


def test_a_providers_retry_after_is_never_undercut(journey: Journey):
    message_id = journey.send()

    journey.call(message_id, Throttled("429", 9.0))

    assert left(journey, journey.attempt(message_id).due_at) == pytest.approx(9, abs=0.9)


def test_no_retry_is_waited_for_beyond_the_ttl(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=15))
    message_id = journey.send()

    journey.call(message_id, Throttled("429", 3600.0))

    attempt = journey.attempt(message_id)
    assert attempt.due_at == attempt.expires_at


def test_a_stalled_process_cannot_bring_a_later_try_back(journey: Journey):
    message_id = journey.send()
    first = journey.call(message_id, Unavailable("refused"))
    journey.advance(2)
    journey.tick()
    [second] = journey.claim(message_id)

    journey.settle((first, Unavailable("late")))
    assert (journey.state(message_id), second.tries) == ("sending", 2)
    journey.settle((first, Unknown("late")))
    assert journey.state(message_id) == "sending"


@pytest.mark.parametrize(
    "state", [AttemptState.SENT, AttemptState.UNDELIVERABLE, AttemptState.DELIVERED]
)
def test_a_retry_never_undoes_what_a_receipt_has_said(journey: Journey, state: AttemptState):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    journey.hear_of(message_id, state)
    journey.collect()

    journey.settle((claimed, Unavailable("refused")))

    assert journey.state(message_id, 0) == state


def test_a_retry_after_the_lease_broke_is_refused_and_an_acceptance_is_not(journey: Journey):
    refused, accepted = journey.send(), journey.send()
    first, second = journey.claim(refused), journey.claim(accepted)
    journey.advance(10)
    journey.tick()
    assert (journey.state(refused), journey.state(accepted)) == ("unknown", "unknown")

    journey.settle((first[0], Unavailable("refused")), (second[0], Accepted(("p-1",))))

    assert (journey.state(refused), journey.state(accepted)) == ("unknown", "sent")


def test_an_acceptance_of_an_attempt_that_ended_stores_its_reference_and_revives_nothing(
    journey: Journey,
):
    journey.policy(a_step(Channel.VK, ttl=15), a_step(Channel.SMS))
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    for _ in range(2):
        journey.advance(30)
        journey.tick()
    assert journey.state(message_id, 0) == "expired"

    journey.settle((claimed, Accepted(("p-1",))))

    attempt = journey.attempt(message_id, 0)
    assert (attempt.state, attempt.due_at, attempt.provider_ref) == ("expired", None, "p-1")


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Unsupported("no-user"), "unsupported"),
        (Rejected("template"), "rejected"),
        (Undeliverable("blocked"), "undeliverable"),
    ],
)
def test_a_refusal_opens_the_next_step_at_once(
    journey: Journey, hints: list[Hint], result: Result, state: str
):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)

    settled = journey.settle((claimed, result))

    first, second = journey.attempts(message_id)
    assert (first.state, first.error, first.due_at) == (state, result.code, None)  # type: ignore[union-attr]  # each of these has one
    assert (second.state, second.channel, second.step) == ("queued", "ok", 1)
    assert settled.hints == [Hint(Channel.OK, Lane.NORMAL, second.id)]
    assert settled.counts[state] == 1


def test_the_same_refusal_twice_opens_one_step(journey: Journey):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)

    journey.settle((claimed, Unsupported("no-user")))
    again = journey.settle((claimed, Unsupported("no-user")))

    assert again.hints == []
    assert len(journey.attempts(message_id)) == 2


def test_a_refusal_of_the_last_step_ends_the_message(journey: Journey):
    journey.policy(a_step(Channel.SMS))
    message_id = journey.send()

    journey.call(message_id, Rejected("balance"))

    message = journey.message(message_id)
    assert (message.state, message.success_met) == ("undelivered", False)
    assert journey.charges() == []


def test_a_refusal_after_the_caller_cancelled_opens_nothing(journey: Journey):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    assert journey.cascade.cancel(message_id)

    settled = journey.settle((claimed, Unsupported("no-user")))

    assert settled.hints == []
    assert len(journey.attempts(message_id)) == 1
    assert journey.message(message_id).state == "cancelled"


def test_an_acceptance_waits_for_no_lock_on_its_message(journey: Journey):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)

    with journey.engine.begin() as holder:
        holder.execute(
            text("SELECT FROM cascade.messages WHERE id = :id FOR UPDATE"), {"id": message_id}
        )
        journey.settle((claimed, Accepted()))
    assert journey.state(message_id) == "sent"
