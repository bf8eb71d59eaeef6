"""Ways that once broke a law, step by step; each is a sentence about what holds since."""

from __future__ import annotations

import pytest

from cascade.channels.base import Accepted, Receipt
from cascade.domain.state import AttemptState, Channel
from tests.services.journey import ACCOUNTS, Journey, a_step


pytestmark = pytest.mark.integration

SMSC = ACCOUNTS[Channel.SMS]
DEVINO = ACCOUNTS[Channel.VIBER]


def later(journey: Journey, seconds: float, *pollable: str) -> None:
    journey.advance(seconds)
    journey.tick(pollable)


def of_theirs(ref: str, status: AttemptState = AttemptState.DELIVERED) -> Receipt:
    return Receipt(status=status, native_status=status.value, provider_ref=ref)


def test_a_process_that_dies_after_the_first_receipt_costs_its_provider_no_time(
    journey: Journey,
) -> None:
    journey.policy(a_step(Channel.VK, ttl=60, ttl_minimum=15), a_step(Channel.SMS))
    message_id = journey.send()
    journey.claim(message_id)  # called as late as the lease allows, and nobody settles it
    journey.hear_of(message_id, AttemptState.SENT)
    journey.collect()

    later(journey, 64)
    assert journey.state(message_id) == "sent"
    later(journey, 5)
    assert journey.state(message_id) == "sent"
    later(journey, 3)
    assert journey.state(message_id, 0) == "expired"


def test_a_call_in_the_air_never_expires_whatever_a_receipt_has_said_of_it(
    journey: Journey,
) -> None:
    journey.policy(a_step(Channel.SMS, ttl=1), a_step(Channel.OK))
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    journey.hear_of(message_id, AttemptState.SENT)
    journey.collect()

    later(journey, 4)
    assert journey.state(message_id) == "sent"
    journey.settle((claimed, Accepted()))
    later(journey, 3)

    assert journey.state(message_id, 0) == "expired"


def test_slow_ticks_hold_up_no_expiry_at_a_provider_that_does_not_answer_polls(
    journey: Journey,
) -> None:
    journey.policy(a_step(Channel.SMS, ttl=60), a_step(Channel.OK))
    message_id = journey.send()
    journey.call(message_id, Accepted())

    for _ in range(4):
        later(journey, 30, SMSC)

    assert journey.state(message_id, 0) == "expired"


def test_a_clock_that_stepped_back_holds_up_no_expiry_at_such_a_provider(
    journey: Journey,
) -> None:
    journey.advance(3600)
    journey.tick([SMSC])
    journey.advance(-3600)
    journey.policy(a_step(Channel.SMS, ttl=60), a_step(Channel.OK))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    for _ in range(20):
        later(journey, 4, SMSC)

    assert journey.state(message_id, 0) == "expired"


def test_a_receipt_that_is_older_than_the_call_is_not_about_it(journey: Journey) -> None:
    journey.policy(a_step(Channel.VIBER, ttl=600, ttl_minimum=30), a_step(Channel.SMS))
    journey.hear(DEVINO, of_theirs("p-1"))  # of somebody who shares the account
    for _ in range(3):
        journey.collect()
        journey.advance(3600)
    message_id = journey.send()
    journey.call(message_id, Accepted(("p-1",)))

    for _ in range(14):
        later(journey, 60)
        journey.collect()

    assert journey.state(message_id, 0) == "expired"
    assert journey.charges() == []
    journey.hear(DEVINO, of_theirs("p-1", AttemptState.READ))
    journey.collect()
    assert journey.state(message_id, 0) == "read"
