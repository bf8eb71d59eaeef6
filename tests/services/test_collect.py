from __future__ import annotations

import datetime as dt
import itertools
import logging
import random
import time
import uuid

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Timer

import pytest

from sqlalchemy import text

from cascade.channels.base import Accepted, Receipt, Result, Unsupported
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState, Channel, Lane, Success
from cascade.storage.inbox import DEFER_PATIENCE
from tests.services.journey import PHONE, Journey, a_step


pytestmark = pytest.mark.integration

SENT, DELIVERED, READ = AttemptState.SENT, AttemptState.DELIVERED, AttemptState.READ


def a_receipt(
    *,
    provider_ref: str | None = None,
    client_ref: str | None = None,
    status: AttemptState = DELIVERED,
) -> Receipt:
    return Receipt(
        status=status,
        native_status=status.value,
        provider_ref=provider_ref,
        client_ref=client_ref,
    )


@pytest.mark.parametrize("order", list(itertools.permutations([SENT, DELIVERED, READ])))
def test_receipts_in_any_order_and_often_give_one_state_and_one_charge(
    journey: Journey, order: tuple[AttemptState, ...]
):
    message_id = journey.send()
    journey.call(message_id, Accepted())

    for status in (*order, *order):
        journey.hear_of(message_id, status)
        journey.collect()

    assert journey.state(message_id) == "read"
    assert journey.message(message_id).state == "delivered"
    assert len(journey.charges()) == 1


def test_receipts_of_one_set_are_joined_as_if_they_had_come_one_by_one(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted())

    for status in (READ, SENT, DELIVERED):
        journey.hear_of(message_id, status)
    counts = journey.collect()

    assert (counts["applied"], counts["delivered"], counts["ended"]) == (3, 1, 1)
    assert journey.state(message_id) == "read"
    assert len(journey.charges()) == 1


def test_a_repeated_receipt_is_stored_once(journey: Journey):
    message_id = journey.send()

    assert journey.hear_of(message_id, DELIVERED) == 1
    assert journey.hear_of(message_id, DELIVERED) == 0
    assert journey.hear_of(message_id, READ) == 1


def test_a_receipt_applied_is_not_taken_again(journey: Journey):
    message_id = journey.send()
    journey.deliver(message_id)

    assert journey.collect()["applied"] == 0
    receipt = journey.row("SELECT * FROM cascade.receipts")
    assert receipt.due_at is None
    assert receipt.applied_at is not None
    assert receipt.attempt_id == journey.attempt(message_id).id


def test_a_receipt_before_the_call_is_settled_finds_its_attempt_by_our_reference(
    journey: Journey,
):
    message_id = journey.send()
    journey.claim(message_id)

    journey.deliver(message_id)

    assert journey.state(message_id) == "delivered"
    assert len(journey.charges()) == 1


def test_a_receipt_before_the_settlement_waits_for_the_providers_reference(journey: Journey):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    journey.hear("notify-vk", a_receipt(provider_ref="p-1"))

    assert journey.collect()["orphans"] == 1
    journey.settle((claimed, Accepted(("p-1",))))
    journey.advance(1.1)

    assert journey.collect()["delivered"] == 1
    assert journey.state(message_id) == "delivered"


def test_any_segments_reference_finds_the_attempt(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted(("p-1", "p-2", "p-3")))

    journey.hear("notify-vk", a_receipt(provider_ref="p-3"))
    journey.collect()

    assert journey.state(message_id) == "delivered"


def test_a_reference_that_was_given_twice_means_the_newest_attempt(journey: Journey):
    older, newer = journey.send(), journey.send()
    journey.call(older, Accepted(("p-1",)))
    journey.call(newer, Accepted(("p-1",)))

    journey.hear("notify-vk", a_receipt(provider_ref="p-1"))
    journey.collect()

    assert (journey.state(older), journey.state(newer)) == ("sent", "delivered")


def test_our_own_reference_wins_over_the_providers(journey: Journey):
    ours, theirs = journey.send(), journey.send()
    journey.call(ours, Accepted(("p-0",)))
    journey.call(theirs, Accepted(("p-1",)))

    ref = journey.attempt(ours).client_ref
    journey.hear("notify-vk", a_receipt(client_ref=ref, provider_ref="p-1"))
    journey.collect()

    assert (journey.state(ours), journey.state(theirs)) == ("delivered", "sent")


@pytest.mark.parametrize("known", ["client_ref", "provider_ref"])
def test_another_accounts_receipt_never_moves_an_attempt(journey: Journey, known: str):
    message_id = journey.send()
    journey.call(message_id, Accepted(("p-1",)))

    journey.hear("notify-ok", a_receipt(**{known: getattr(journey.attempt(message_id), known)}))
    assert journey.collect()["orphans"] == 1
    assert journey.state(message_id) == "sent"
    assert journey.charges() == []


def test_a_reference_older_than_the_window_means_nothing_any_more(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted(("p-1",)))
    journey.advance(8 * 86400 + 60)

    journey.hear("notify-vk", a_receipt(provider_ref="p-1"))

    assert journey.collect()["orphans"] == 1


def test_an_orphan_is_looked_at_after_growing_pauses_with_an_alert_and_set_aside_in_the_end(
    journey: Journey, caplog: pytest.LogCaptureFixture
):
    journey.hear("notify-vk", a_receipt(provider_ref="nobody"))
    pauses = []
    for look in range(100):
        journey.collect()
        row = journey.row("SELECT due_at, due_at - cascade.clock() AS pause FROM cascade.receipts")
        if row.due_at is None:
            break
        pauses.append(round(row.pause.total_seconds()))
        assert journey.collect()["orphans"] == 0
        assert ("in vain" in caplog.text) is (look >= 9)
        journey.advance(row.pause.total_seconds() + 0.01)

    assert pauses[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert set(pauses[10:]) == {3600}
    assert 0 <= sum(pauses) - DEFER_PATIENCE.total_seconds() < 3600
    assert journey.charges() == []


def test_a_thousand_unknown_receipts_stop_no_known_one(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    unknown = [a_receipt(provider_ref=f"x-{number}") for number in range(1000)]
    journey.hear("notify-vk", *unknown)
    journey.hear_of(message_id, DELIVERED)

    counts = journey.collect()

    assert (counts["orphans"], counts["delivered"]) == (1000, 1)


def poison(journey: Journey) -> uuid.UUID:
    """A message whose receipt cannot be applied: its policy is none that there is."""
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.change("UPDATE cascade.messages SET policy_id = 0 WHERE id = :id", id=message_id)
    return message_id


def test_a_poison_receipt_backs_off_and_its_neighbours_go_on(
    journey: Journey, caplog: pytest.LogCaptureFixture
):
    good = [journey.send() for _ in range(12)]
    for one in good:
        journey.call(one, Accepted())
    bad = poison(journey)
    for one in (*good[:6], bad, *good[6:]):
        journey.hear_of(one, DELIVERED)

    for _ in range(2):
        journey.collect()

    assert [journey.state(one) for one in good] == ["delivered"] * 12
    assert len(journey.charges()) == 12
    assert journey.state(bad) == "sent"
    waiting = journey.row("SELECT looks, due_at FROM cascade.receipts WHERE applied_at IS NULL")
    assert waiting.looks >= 1
    assert waiting.due_at is not None
    assert "cannot be applied" in caplog.text
    assert PHONE not in caplog.text


def test_a_poison_receipt_is_set_aside_in_the_end(journey: Journey):
    bad = poison(journey)
    journey.hear_of(bad, DELIVERED)
    journey.advance(DEFER_PATIENCE.total_seconds() + 1)

    journey.collect()
    assert journey.row("SELECT due_at FROM cascade.receipts")[0] is None


def test_a_late_success_cancels_a_next_step_that_is_not_being_sent(
    journey: Journey, hints: list[Hint]
):
    journey.policy(a_step(Channel.VK, ttl=15), a_step(Channel.OK))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(18)
    journey.tick()
    assert journey.state(message_id) == "queued"

    journey.deliver(message_id, step=0)

    assert [one.state for one in journey.attempts(message_id)] == ["delivered", "cancelled"]
    assert journey.claim(message_id) == []
    message = journey.message(message_id)
    assert (message.state, message.success_met) == ("delivered", True)


def test_a_late_success_leaves_a_call_in_flight_and_both_deliveries_are_charged(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=15), a_step(Channel.OK))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(18)
    journey.tick()
    [claimed] = journey.claim(message_id)

    journey.deliver(message_id, step=0)
    journey.settle((claimed, Accepted()))
    journey.deliver(message_id, step=1)

    assert [one.state for one in journey.attempts(message_id)] == ["delivered", "delivered"]
    assert len(journey.charges()) == 2


def test_a_cancelled_attempt_that_was_delivered_after_all_is_charged(journey: Journey):
    message_id = journey.send()
    journey.cascade.cancel(message_id)

    journey.deliver(message_id)

    assert journey.state(message_id) == "delivered"
    assert journey.message(message_id).state == "cancelled"
    assert len(journey.charges()) == 1


@pytest.mark.parametrize(("hours", "state"), [(71, "delivered"), (73, "undelivered")])
def test_a_late_delivery_promotes_the_message_within_72_hours_and_always_charges(
    journey: Journey, hours: int, state: str
):
    journey.policy(a_step(Channel.VK, ttl=15))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(18)
    journey.tick()
    assert journey.message(message_id).state == "undelivered"

    journey.advance(hours * 3600)
    journey.deliver(message_id)

    assert journey.message(message_id).state == state
    assert len(journey.charges()) == 1


def test_a_step_that_wants_to_be_read_stays_live_after_its_delivery(
    journey: Journey, hints: list[Hint]
):
    journey.policy(a_step(Channel.VK, ttl=60, success=Success.READ), a_step(Channel.SMS))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.deliver(message_id)
    assert journey.message(message_id).state == "in_progress"
    assert journey.attempt(message_id).due_at is not None

    journey.advance(63)
    journey.tick()

    assert [one.state for one in journey.attempts(message_id)] == ["delivered", "queued"]
    assert len(journey.charges()) == 1


def test_a_receipt_of_failure_opens_the_next_step_and_hints_at_it(
    journey: Journey, hints: list[Hint]
):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    hints.clear()

    journey.hear_of(message_id, AttemptState.UNDELIVERABLE, code="blocked")
    assert journey.collect()["opened"] == 1

    attempt = journey.attempt(message_id)
    assert hints == [Hint(Channel.OK, Lane.NORMAL, attempt.id)]
    assert journey.attempt(message_id, 0).error == "blocked"


def test_a_status_that_nobody_knows_is_kept_and_changes_nothing(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted())

    journey.hear_of(message_id, AttemptState.UNKNOWN)
    assert journey.collect()["applied"] == 1

    assert journey.state(message_id) == "sent"


@pytest.mark.parametrize("at", ["UPDATE cascade.attempts", "INTO cascade.charges"])
def test_a_connection_lost_in_the_middle_loses_no_receipt_and_charges_once(
    journey: Journey, cut_connection: Callable[[str], list[str]], at: str
):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.hear_of(message_id, DELIVERED)

    cut = cut_connection(at)
    journey.collect()

    assert len(cut) == 1
    assert journey.state(message_id) == "delivered"
    assert len(journey.charges()) == 1


class OtherCollector(logging.Handler):
    """Takes the oldest receipt in the moment when a set of one is said to have failed."""

    def __init__(self, journey: Journey) -> None:
        super().__init__()
        self.connection = journey.engine.connect()
        self.has_come = False

    def emit(self, record: logging.LogRecord) -> None:
        if "set of 1 receipts failed" in record.getMessage() and not self.has_come:
            self.has_come = True
            self.connection.execute(
                text("SELECT FROM cascade.receipts ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
            )
            Timer(0.3, self.connection.close).start()


def test_only_the_receipt_that_failed_is_set_aside_not_its_neighbour(journey: Journey):
    """Between the failure and the deferral another collector may have taken the culprit."""
    bad = poison(journey)
    good = journey.send()
    journey.call(good, Accepted())
    journey.hear_of(bad, DELIVERED)
    journey.hear_of(good, DELIVERED)
    journey.advance(DEFER_PATIENCE.total_seconds() + 1)
    other = OtherCollector(journey)
    collecting = logging.getLogger("cascade.services.collect")

    collecting.addHandler(other)
    journey.collect()
    collecting.removeHandler(other)
    journey.collect()

    assert other.has_come
    assert len(journey.charges()) == 1
    assert journey.state(good) == "delivered"


class Crowd:
    """Threads that hear of, and settle, the same few attempts at once."""

    def __init__(self, journey: Journey, messages: list[uuid.UUID]) -> None:
        self.journey = journey
        self.claimed = journey.claim(*messages)
        self.refs = [one.client_ref for one in self.claimed]
        self.moments = itertools.count()
        self.stop_at = time.monotonic() + 4

    def run(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            crowd = [
                pool.submit(self.repeat, work, random.Random(number))  # noqa: S311  # the same crowd every time
                for number in range(4)
                for work in (self.listen, self.settle)
            ]
        for one in crowd:
            one.result()

    def repeat(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        for _ in range(25):
            work(chance)
            if time.monotonic() > self.stop_at:
                return

    def listen(self, chance: random.Random) -> None:
        at = dt.datetime.fromtimestamp(1_700_000_000 + next(self.moments), dt.UTC)
        receipts = [
            Receipt(
                status=chance.choice([SENT, DELIVERED, READ]),
                native_status="x",
                client_ref=ref,
                event_at=at,
            )
            for ref in chance.sample(self.refs, 5)
        ]
        self.journey.hear("notify-vk", *receipts)
        self.journey.collect()

    def settle(self, chance: random.Random) -> None:
        answers: list[Result] = [Accepted(("p",)), Accepted(), Unsupported("no-user")]
        answer = chance.choice(answers)
        self.journey.settle(*((one, answer) for one in chance.sample(self.claimed, 5)))


def test_collectors_and_settlements_of_the_same_messages_neither_deadlock_nor_charge_twice(
    journey: Journey, deadlocks: list[str], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.ERROR)
    messages = [journey.send() for _ in range(10)]

    Crowd(journey, messages).run()
    for one in messages:
        journey.hear_of(one, READ, step=0)
    journey.collect()

    assert deadlocks == []
    assert not caplog.records
    assert [journey.state(one, 0) for one in messages] == ["read"] * 10
    first = [journey.attempt(one, 0).id for one in messages]
    assert [one.attempt_id for one in journey.charges()] == sorted(first)
    assert all(len(journey.attempts(one)) <= 2 for one in messages)
    left = journey.row("SELECT count(*) FROM cascade.receipts WHERE applied_at IS NULL")
    assert left[0] == 0
