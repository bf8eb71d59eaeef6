from __future__ import annotations

import threading
import uuid

import pytest

from sqlalchemy import text

from cascade.channels.base import Accepted, Unavailable, Unsupported
from tests.services.journey import Journey


pytestmark = pytest.mark.integration


def test_a_cancelled_message_is_never_sent(journey: Journey):
    message_id = journey.send()

    assert journey.cascade.cancel(message_id)

    assert journey.message(message_id).state == "cancelled"
    assert (journey.state(message_id), journey.attempt(message_id).due_at) == ("cancelled", None)
    assert journey.claim(message_id) == []


def test_a_retry_that_waits_is_cancelled_too(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Unavailable("refused"))

    assert journey.cascade.cancel(message_id)

    assert journey.state(message_id) == "cancelled"


def test_cancelling_twice_or_after_the_end_or_nobody_says_no(journey: Journey):
    ended = journey.send()
    journey.call(ended, Accepted())
    journey.deliver(ended)
    cancelled = journey.send()
    journey.cascade.cancel(cancelled)

    assert not journey.cascade.cancel(cancelled)
    assert not journey.cascade.cancel(ended)
    assert not journey.cascade.cancel(uuid.uuid4())
    assert journey.message(ended).state == "delivered"


def test_a_call_in_flight_lives_on_to_hear_its_receipt(journey: Journey):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)

    assert journey.cascade.cancel(message_id)
    journey.settle((claimed, Accepted()))
    assert journey.state(message_id) == "sent"
    journey.deliver(message_id)

    assert journey.state(message_id) == "delivered"
    assert journey.message(message_id).state == "cancelled"
    assert len(journey.charges()) == 1


def test_a_cancelled_message_does_not_fall_back_when_its_call_expires(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.cascade.cancel(message_id)

    journey.advance(600)
    journey.tick()

    assert [one.state for one in journey.attempts(message_id)] == ["expired"]
    assert journey.message(message_id).state == "cancelled"


def test_a_cancellation_and_the_end_of_a_step_at_once_leave_no_open_step(journey: Journey):
    """Whoever comes second waits for the message's lock, and sees what the first has done."""
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    with journey.engine.begin() as holder:
        holder.execute(
            text("SELECT FROM cascade.messages WHERE id = :id FOR NO KEY UPDATE"),
            {"id": message_id},
        )
        settling = threading.Thread(
            target=journey.settle, args=((claimed, Unsupported("no-user")),)
        )
        cancelling = threading.Thread(target=journey.cascade.cancel, args=(message_id,))
        settling.start()
        cancelling.start()
    settling.join()
    cancelling.join()

    assert journey.message(message_id).state == "cancelled"
    live = [one.state for one in journey.attempts(message_id) if one.due_at is not None]
    assert live == []
    assert journey.claim(message_id) == []
