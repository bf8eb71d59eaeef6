"""Two processes and one message: both orders of each race, and the exact rows they leave."""

from __future__ import annotations

import uuid

import pytest

from sqlalchemy import Engine, text

from cascade.channels.base import Accepted, Throttled, Unsupported
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState, Channel
from cascade.storage.claim import Claimed
from tests.rules.interleaving import Interleaving
from tests.services.journey import Journey, a_step


pytestmark = pytest.mark.integration

DELIVERED, READ = AttemptState.DELIVERED, AttemptState.READ
LOCKS = "success_met, ended_at FROM cascade.messages"
CLAIMS = "SET state = 'sending'"
BREAKS = "broken AS MATERIALIZED"
OPENS = "INSERT INTO cascade.attempts"
SECOND_TICK = 1.0  # seconds


@pytest.fixture(autouse=True)
def two_steps(journey: Journey) -> None:
    journey.policy(
        a_step(Channel.VK, ttl=60, ttl_minimum=15), a_step(Channel.SMS, ttl=60), name="default"
    )


def rows(journey: Journey, message_id: uuid.UUID) -> tuple[str, list[tuple[str, bool]], int]:
    """The message's state, its attempts' states and whether they are live, and the charges."""
    attempts = [(one.state, one.ended_at is None) for one in journey.attempts(message_id)]
    return journey.message(message_id).state, attempts, len(journey.charges())


def in_the_air(journey: Journey, lane: str = "normal") -> tuple[uuid.UUID, Claimed]:
    message_id = journey.send(priority=lane)
    [claimed] = journey.claim(message_id)
    return message_id, claimed


def fallen_back(journey: Journey) -> uuid.UUID:
    """Sent over VK, expired there, and queued for SMS."""
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(63)
    journey.tick()
    assert journey.state(message_id) == "queued"
    journey.advance(SECOND_TICK)
    return message_id


def overdue(journey: Journey) -> uuid.UUID:
    """Sent over VK, and its time is over."""
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(63)
    return message_id


class TestTheEndOfAStepAndACancellation:
    def test_what_the_settlement_opened_is_cancelled(
        self, journey: Journey, interleaving: Interleaving, hints: list[Hint]
    ) -> None:
        message_id, claimed = in_the_air(journey)

        race = interleaving.race(
            lambda: journey.settle((claimed, Unsupported("no-user"))),
            lambda: journey.cascade.cancel(message_id),
        )

        assert (race.waited, race.second) == (True, True)
        assert rows(journey, message_id) == (
            "cancelled",
            [("unsupported", False), ("cancelled", False)],
            0,
        )
        assert journey.claim(message_id) == []

    def test_a_settlement_after_the_cancellation_opens_nothing(
        self, journey: Journey, interleaving: Interleaving, hints: list[Hint]
    ) -> None:
        message_id, claimed = in_the_air(journey)
        hints.clear()

        race = interleaving.race(
            lambda: journey.cascade.cancel(message_id),
            lambda: journey.settle((claimed, Unsupported("no-user"))),
        )

        assert race.waited
        assert rows(journey, message_id) == ("cancelled", [("unsupported", False)], 0)
        assert hints == []

    def test_a_call_that_comes_back_unsent_beside_the_cancellation_is_cancelled_by_the_tick(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id, claimed = in_the_air(journey)

        race = interleaving.race(
            lambda: journey.settle((claimed, Throttled("busy", 1.0))),
            lambda: journey.cascade.cancel(message_id),
        )

        assert race.waited  # for the attempt: such a settlement touches no message
        assert rows(journey, message_id) == ("cancelled", [("cancelled", False)], 0)


class TestTheTickAndTheCollector:
    def test_a_delivery_that_waits_for_an_expiry_takes_the_next_step_back(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = overdue(journey)

        race = interleaving.race(
            journey.tick,
            journey.collect,
            committing=OPENS,
            meanwhile=lambda: journey.hear_of(message_id, DELIVERED),
        )

        assert race.waited
        assert rows(journey, message_id) == (
            "delivered",
            [("delivered", False), ("cancelled", False)],
            1,
        )

    def test_an_expiry_passes_by_a_message_that_a_receipt_is_being_applied_to(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = overdue(journey)
        journey.hear_of(message_id, DELIVERED)

        race = interleaving.race(journey.collect, journey.tick)

        assert not race.waited
        assert rows(journey, message_id) == ("delivered", [("delivered", False)], 1)

    def test_a_receipt_between_the_ticks_look_and_its_lock_wins(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = overdue(journey)

        race = interleaving.race(
            journey.tick,
            journey.collect,
            before=LOCKS,
            meanwhile=lambda: journey.hear_of(message_id, DELIVERED),
        )

        assert not race.waited
        assert rows(journey, message_id) == ("delivered", [("delivered", False)], 1)


class TestALateDeliveryAndTheNextStepsClaim:
    def test_a_claimed_step_is_sent_and_the_message_is_delivered(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = fallen_back(journey)
        journey.hear_of(message_id, DELIVERED, step=0)

        race = interleaving.race(
            lambda: journey.claim(message_id), journey.collect, committing=CLAIMS
        )

        assert race.waited
        assert rows(journey, message_id) == (
            "delivered",
            [("delivered", False), ("sending", True)],
            1,
        )

    def test_a_step_that_the_delivery_holds_is_not_claimed(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = fallen_back(journey)
        journey.hear_of(message_id, DELIVERED, step=0)

        race = interleaving.race(journey.collect, lambda: journey.claim(message_id))

        assert (race.waited, race.second) == (False, [])
        assert rows(journey, message_id) == (
            "delivered",
            [("delivered", False), ("cancelled", False)],
            1,
        )


@pytest.mark.parametrize(("before", "after"), [(DELIVERED, READ), (READ, DELIVERED)])
def test_two_collectors_of_one_message_join_both_receipts_and_charge_once(
    journey: Journey, interleaving: Interleaving, before: AttemptState, after: AttemptState
) -> None:
    message_id, claimed = in_the_air(journey)
    journey.settle((claimed, Accepted()))
    journey.hear_of(message_id, before)

    race = interleaving.race(
        journey.collect,
        journey.collect,
        meanwhile=lambda: journey.hear_of(message_id, after),
    )

    assert race.waited
    assert rows(journey, message_id) == ("delivered", [("read", False)], 1)


def test_two_collectors_never_take_one_receipt_twice(
    journey: Journey, interleaving: Interleaving
) -> None:
    message_id, claimed = in_the_air(journey)
    journey.settle((claimed, Accepted()))
    journey.hear_of(message_id, DELIVERED)

    race = interleaving.race(journey.collect, journey.collect)

    assert not race.waited
    assert race.second["applied"] == 0
    assert rows(journey, message_id) == ("delivered", [("delivered", False)], 1)


class TestTwoTicks:
    def test_of_two_ticks_in_one_second_one_does_nothing(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = overdue(journey)

        race = interleaving.race(journey.tick, journey.tick)

        assert (race.waited, race.second) == (True, {"second": 1})
        assert rows(journey, message_id) == (
            "in_progress",
            [("expired", False), ("queued", True)],
            0,
        )

    def test_a_tick_that_overtakes_a_slow_one_opens_no_second_step(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = overdue(journey)

        race = interleaving.race(
            journey.tick,
            journey.tick,
            committing=OPENS,
            meanwhile=lambda: journey.advance(SECOND_TICK),
        )

        assert not race.waited
        assert race.second["expired"] == 0
        assert rows(journey, message_id) == (
            "in_progress",
            [("expired", False), ("queued", True)],
            0,
        )

    def test_a_slow_tick_that_was_overtaken_finds_nothing_left(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = overdue(journey)

        race = interleaving.race(
            journey.tick,
            journey.tick,
            before=LOCKS,
            meanwhile=lambda: journey.advance(SECOND_TICK),
        )

        assert not race.waited
        assert race.second["expired"] == 1
        assert rows(journey, message_id) == (
            "in_progress",
            [("expired", False), ("queued", True)],
            0,
        )


class TestAClaimAndACancellation:
    def test_a_claimed_call_outlives_the_cancellation_to_hear_its_receipt(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = journey.send()

        race = interleaving.race(
            lambda: journey.claim(message_id),
            lambda: journey.cascade.cancel(message_id),
            committing=CLAIMS,
        )

        assert (race.waited, race.second) == (True, True)
        assert rows(journey, message_id) == ("cancelled", [("sending", True)], 0)

    def test_what_is_being_cancelled_is_not_claimed(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id = journey.send()

        race = interleaving.race(
            lambda: journey.cascade.cancel(message_id), lambda: journey.claim(message_id)
        )

        assert (race.waited, race.second) == (False, [])
        assert rows(journey, message_id) == ("cancelled", [("cancelled", False)], 0)


class TestAnAcceptanceAndAnExpiry:
    def test_an_acceptance_after_the_expiry_keeps_its_reference_and_revives_nothing(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id, claimed = in_the_air(journey)
        journey.advance(10)
        journey.tick()  # the lease is broken
        journey.advance(63)

        race = interleaving.race(
            journey.tick,
            lambda: journey.settle((claimed, Accepted(("p-1",)))),
            committing=OPENS,
        )

        assert race.waited
        assert rows(journey, message_id) == (
            "in_progress",
            [("expired", False), ("queued", True)],
            0,
        )
        assert journey.attempt(message_id, 0).provider_ref == "p-1"

    def test_an_expiry_sees_the_time_that_an_acceptance_has_given(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id, claimed = in_the_air(journey)
        journey.advance(10)
        journey.tick()
        journey.advance(63)

        race = interleaving.race(
            lambda: journey.settle((claimed, Accepted(("p-1",)))), journey.tick
        )

        assert race.waited
        assert rows(journey, message_id) == ("in_progress", [("sent", True)], 0)


class TestARetryAndABrokenLease:
    def test_a_lease_that_is_being_broken_leaves_nothing_to_retry(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id, claimed = in_the_air(journey, "urgent")  # the lane that is looked at first
        journey.advance(10)

        race = interleaving.race(
            journey.tick,
            lambda: journey.settle((claimed, Throttled("busy", 1.0))),
            committing=BREAKS,
        )

        assert race.waited
        assert rows(journey, message_id) == ("in_progress", [("unknown", True)], 0)

    def test_a_lease_whose_call_is_being_settled_is_not_broken(
        self, journey: Journey, interleaving: Interleaving
    ) -> None:
        message_id, claimed = in_the_air(journey)
        journey.advance(10)

        race = interleaving.race(
            lambda: journey.settle((claimed, Throttled("busy", 1.0))), journey.tick
        )

        assert not race.waited
        assert rows(journey, message_id) == ("in_progress", [("retry", True)], 0)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_messages_are_locked_in_the_order_of_their_ids_whatever_comes_first(
    journey: Journey, interleaving: Interleaving, engine: Engine, *, is_reversed: bool
) -> None:
    """Whoever waits for the first one holds no other: nobody can wait for it in turn."""
    low, high = sorted(journey.send() for _ in range(2))
    for one in (high, low) if is_reversed else (low, high):
        journey.call(one, Accepted())
        journey.hear_of(one, DELIVERED)

    with engine.begin() as holder:
        holder.execute(_LOCK, {"id": low})
        collecting, waits = interleaving.begun(journey.collect)
        assert waits
        with engine.begin() as other:
            other.execute(_LOCK, {"id": high})

    assert collecting.result(10)["delivered"] == 2


_LOCK = text("SELECT FROM cascade.messages WHERE id = :id FOR NO KEY UPDATE NOWAIT")
