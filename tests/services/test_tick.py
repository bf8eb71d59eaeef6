from __future__ import annotations

import datetime as dt
import itertools

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from sqlalchemy import event, text

from cascade.channels.base import Accepted, Receipt, Throttled, Unavailable, Unknown
from cascade.domain.engine import RECEIPT_GRACE
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState, Channel, Lane
from cascade.services import tick as ticking
from cascade.services.deployment import LEASE
from cascade.services.tick import tick
from cascade.storage import sweep
from cascade.storage.inbox import CALL_TOLERANCE
from tests.services.backlog import backlog, rows_read
from tests.services.journey import PHONE, WORDS, Journey, a_step
from tests.services.statements import counted


pytestmark = pytest.mark.integration

DELIVERED = AttemptState.DELIVERED

NOW_DUE = "UPDATE cascade.attempts SET due_at = cascade.clock() WHERE id = :id"


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=1)


def sent(journey: Journey, *, ttl: int = 60, channel: Channel = Channel.VK, refs: Any = ()) -> Any:
    """A message whose first step was accepted, with another step behind it."""
    journey.policy(a_step(channel, ttl=ttl), a_step(Channel.OK))
    message_id = journey.send()
    journey.call(message_id, Accepted(refs))
    return message_id


def later(journey: Journey, seconds: float, pollable: tuple[str, ...] = ()) -> Any:
    journey.advance(seconds)
    return journey.tick(pollable)


def test_a_hint_that_got_lost_is_published_again_after_doubling_pauses(
    journey: Journey, hints: list[Hint]
):
    message_id = journey.send()
    hints.clear()
    pauses = []
    for _ in range(8):
        row = journey.row("SELECT due_at - cascade.clock() AS pause FROM cascade.attempts")
        pauses.append(row.pause.total_seconds())
        assert later(journey, max(row.pause.total_seconds() - 0.5, 1))["queued"] == 0
        assert later(journey, 1)["queued"] == 1

    assert pauses == [about(p) for p in (8, 8, 16, 32, 64, 128, 256, 300)]
    assert set(hints) == {Hint(Channel.VK, Lane.NORMAL, journey.attempt(message_id).id)}


def test_a_claim_makes_the_next_lost_hint_a_first_one_again(journey: Journey):
    message_id = journey.send()
    for pause in (8.1, 8.1, 16.1):
        later(journey, pause)
    journey.call(message_id, Unavailable("refused"))

    later(journey, 1.1)

    row = journey.row("SELECT due_at - cascade.clock() AS pause FROM cascade.attempts")
    assert row.pause.total_seconds() == about(8)


def test_the_second_tick_within_a_second_does_nothing(journey: Journey):
    first = journey.send()
    assert later(journey, 8.1)["queued"] == 1
    journey.change("UPDATE cascade.attempts SET due_at = cascade.clock()")

    assert journey.tick() == {"second": 1}
    assert later(journey, 1)["queued"] == 1
    assert journey.state(first) == "queued"


def test_a_scheduled_message_starts_when_its_time_has_come(journey: Journey, hints: list[Hint]):
    message_id = journey.send()
    hints.clear()
    journey.change(
        "UPDATE cascade.attempts SET state = 'scheduled',"
        " due_at = cascade.clock() + interval '1 hour'"
    )

    later(journey, 3590)
    assert (journey.state(message_id), hints) == ("scheduled", [])
    assert journey.claim(message_id) == []
    later(journey, 11)

    assert (journey.state(message_id), len(hints)) == ("queued", 1)
    assert len(journey.claim(message_id)) == 1


def test_a_call_that_nobody_settled_is_unknown_once_its_lease_is_over(
    journey: Journey, hints: list[Hint]
):
    journey.policy(a_step(Channel.VK, ttl=60, ttl_minimum=15), a_step(Channel.OK))
    message_id = journey.send()
    journey.claim(message_id)
    claimed = journey.attempt(message_id)
    hints.clear()

    assert later(journey, 8)["broken"] == 0
    assert later(journey, 2)["broken"] == 1

    broken = journey.attempt(message_id)
    assert (broken.state, broken.error, broken.lease_until) == ("unknown", "lease", None)
    assert broken.unknown_at is not None
    # The provider may have begun with its TTL as late as the lease's end.
    assert broken.expires_at == claimed.expires_at + dt.timedelta(seconds=LEASE)
    assert hints == []


def test_a_broken_lease_at_a_provider_without_a_ttl_extends_nothing(journey: Journey):
    journey.policy(a_step(Channel.SMS, ttl=60))
    message_id = journey.send()
    journey.claim(message_id)
    claimed = journey.attempt(message_id)

    later(journey, 10)

    assert journey.attempt(message_id).expires_at == claimed.expires_at


def test_no_lease_is_broken_before_its_end_whatever_the_row_is_due_for(journey: Journey):
    message_id = journey.send()
    journey.claim(message_id)
    journey.change("UPDATE cascade.attempts SET due_at = cascade.clock()")

    assert later(journey, 1)["broken"] == 0
    assert journey.state(message_id) == "sending"


def test_a_call_under_lease_never_expires(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=15), a_step(Channel.OK))
    message_id = journey.send()
    journey.call(message_id, Unavailable("refused"))
    later(journey, 10)
    journey.claim(message_id)

    later(journey, 8)  # past the end of the TTL, before that of the lease

    assert journey.state(message_id) == "sending"


def test_an_expiry_waits_for_the_receipt_grace(journey: Journey):
    message_id = sent(journey, ttl=60)

    assert later(journey, 61)["expired"] == 0
    assert later(journey, 2)["expired"] == 1

    first, second = journey.attempts(message_id)
    assert (first.state, first.due_at, first.error) == ("expired", None, "expired")
    assert (second.state, second.channel) == ("queued", "ok")


def test_an_ambiguous_call_falls_back_when_its_time_is_over(journey: Journey, hints: list[Hint]):
    journey.policy(a_step(Channel.VK, ttl=60), a_step(Channel.OK))
    message_id = journey.send()
    journey.call(message_id, Unknown("reset"))
    hints.clear()

    later(journey, 63)

    assert [one.state for one in journey.attempts(message_id)] == ["expired", "queued"]
    assert hints == [Hint(Channel.OK, Lane.NORMAL, journey.attempt(message_id).id)]


def test_what_was_never_sent_expires_without_grace_and_without_a_call(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=60, max_wait=30), a_step(Channel.OK))
    message_id = journey.send()

    counts = later(journey, 30.5)

    assert (counts["queued"], counts["opened"]) == (0, 1)
    assert [one.state for one in journey.attempts(message_id)] == ["expired", "queued"]
    assert journey.attempt(message_id, 0).started_at is None


def test_a_message_past_its_deadline_ends_undelivered(journey: Journey):
    deadline = journey.row("SELECT cascade.clock() + interval '30 seconds'")[0]
    message_id = journey.send(deadline=deadline)

    later(journey, 31)

    assert journey.message(message_id).state == "undelivered"
    assert "queued" not in [one.state for one in journey.attempts(message_id)]


def test_an_expiry_waits_for_the_answer_of_a_poll_five_seconds_at_most(journey: Journey):
    message_id = sent(journey, ttl=60)
    pollable = ("notify-vk",)

    assert later(journey, 63, pollable)["expired"] == 0
    assert later(journey, 3, pollable)["expired"] == 0
    assert later(journey, 2, pollable)["expired"] == 1
    assert journey.state(message_id, 0) == "expired"


def test_a_poll_that_was_answered_lets_the_expiry_go(journey: Journey):
    message_id = sent(journey, ttl=60)
    journey.advance(61)
    journey.change("UPDATE cascade.attempts SET polled_at = cascade.clock()")

    later(journey, 2, ("notify-vk",))

    assert journey.state(message_id, 0) == "expired"


def test_a_poll_before_the_end_of_the_ttl_does_not_count(journey: Journey):
    message_id = sent(journey, ttl=60)
    journey.change("UPDATE cascade.attempts SET polled_at = cascade.clock()")

    later(journey, 63, ("notify-vk",))

    assert journey.state(message_id) == "sent"


@pytest.mark.parametrize("known", ["client_ref", "p-1", "p-2"])
def test_an_expiry_never_overtakes_a_receipt_of_its_own(journey: Journey, known: str):
    message_id = sent(journey, ttl=60, refs=("p-1", "p-2"))
    journey.advance(62.5)
    own = known == "client_ref"
    journey.hear(
        "notify-vk",
        Receipt(
            status=DELIVERED,
            native_status="delivered",
            client_ref=journey.attempt(message_id).client_ref if own else None,
            provider_ref=None if own else known,
        ),
    )

    later(journey, 1)
    assert journey.state(message_id) == "sent"
    journey.collect()
    later(journey, 1)

    assert journey.state(message_id) == "delivered"
    assert len(journey.attempts(message_id)) == 1


def test_our_own_lag_holds_up_the_expiries_of_its_account_and_of_no_other(journey: Journey):
    lagging = sent(journey, ttl=60)
    journey.policy(a_step(Channel.OK, ttl=60), a_step(Channel.SMS))
    other = journey.send()
    journey.call(other, Accepted())
    journey.advance(56)
    journey.hear_of(journey.send(policy="patient"), AttemptState.SENT)

    later(journey, 8)

    assert journey.state(lagging, 0) == "sent"
    assert journey.state(other, 0) == "expired"
    journey.collect()
    later(journey, 1)
    assert journey.state(lagging, 0) == "expired"


def test_the_hold_up_by_our_own_lag_is_bounded(journey: Journey):
    message_id = sent(journey, ttl=60)
    journey.hear_of(journey.send(policy="patient"), AttemptState.SENT)

    later(journey, 600)
    assert journey.state(message_id) == "sent"
    later(journey, 65)
    assert journey.state(message_id, 0) == "expired"


@pytest.mark.parametrize("orphan_is_set_aside", [False, True])
def test_an_orphan_holds_up_nobody(journey: Journey, *, orphan_is_set_aside: bool):
    message_id = sent(journey, ttl=60)
    journey.hear("notify-vk", Receipt(status=DELIVERED, native_status="x", provider_ref="nobody"))
    journey.collect()
    if orphan_is_set_aside:
        journey.change("UPDATE cascade.receipts SET due_at = NULL")

    later(journey, 63)

    assert journey.state(message_id, 0) == "expired"


def test_a_message_that_somebody_holds_is_left_to_the_next_tick(journey: Journey):
    held, free = sent(journey, ttl=60), sent(journey, ttl=60)
    journey.advance(63)

    with journey.engine.begin() as holder:
        holder.execute(
            text("SELECT FROM cascade.messages WHERE id = :id FOR NO KEY UPDATE"), {"id": held}
        )
        journey.tick()
        assert (journey.state(held), journey.state(free, 0)) == ("sent", "expired")
    later(journey, 1)

    assert journey.state(held, 0) == "expired"


def test_an_attempt_that_somebody_holds_is_not_waited_for(journey: Journey):
    held, free = journey.send(), journey.send()
    journey.advance(8.1)

    with journey.engine.begin() as holder:
        holder.execute(
            text("SELECT FROM cascade.attempts WHERE message_id = :id FOR NO KEY UPDATE"),
            {"id": held},
        )
        assert journey.tick()["queued"] == 1
    assert journey.attempt(free).hints == 1


def test_a_receipt_between_the_look_and_the_lock_wins(journey: Journey):
    """The tick's candidates are read without locks: the engine is asked again under them."""
    message_id = sent(journey, ttl=60)
    journey.advance(63)
    journey.hear_of(message_id, DELIVERED)
    journey.collect()

    journey.tick()

    assert [one.state for one in journey.attempts(message_id)] == ["delivered"]


def test_a_row_that_cannot_be_advanced_stops_no_neighbour(
    journey: Journey, caplog: pytest.LogCaptureFixture
):
    good = [sent(journey, ttl=60) for _ in range(5)]
    bad = sent(journey, ttl=60)
    good += [sent(journey, ttl=60) for _ in range(5)]
    journey.change("UPDATE cascade.attempts SET step = 7 WHERE message_id = :id", id=bad)

    later(journey, 63)

    assert [journey.state(one, 0) for one in good] == ["expired"] * 10
    assert journey.state(bad) == "sent"
    assert "cannot be advanced" in caplog.text
    assert PHONE not in caplog.text


def test_every_lane_is_looked_at(journey: Journey, hints: list[Hint]):
    for lane in Lane:
        journey.send(priority=lane)
    hints.clear()

    later(journey, 8.1)

    assert {hint.lane for hint in hints} == set(Lane)


def test_a_tick_that_is_late_expires_some_of_each_lane_all_the_same(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=60), a_step(Channel.OK))
    for lane in Lane:
        journey.call(journey.send(priority=lane), Accepted())
    minutes = itertools.count(0.0, 60.0)
    late = replace(journey.ledger, monotonic=lambda: next(minutes))
    journey.advance(63)

    assert tick(late, frozenset())["expired"] == len(Lane)


def test_a_connection_lost_in_the_middle_of_a_tick_opens_one_step(
    journey: Journey, cut_connection: Callable[[str], list[str]]
):
    message_id = sent(journey, ttl=60)
    cut = cut_connection("INSERT INTO cascade.attempts")

    later(journey, 63)

    assert len(cut) == 1
    assert [one.state for one in journey.attempts(message_id)] == ["expired", "queued"]


def test_a_steady_backlog_is_found_by_the_index_of_what_is_due(journey: Journey):
    journey.cascade.send_many([{"to": PHONE}] * 2000, text=WORDS)

    with journey.engine.connect() as connection:
        connection.execute(text("ANALYZE cascade.attempts"))
        plan = connection.execute(
            text(
                "EXPLAIN SELECT id FROM cascade.attempts"
                " WHERE lane = 'normal' AND due_at <= (SELECT cascade.clock())"
                " ORDER BY due_at LIMIT 1000"
            )
        ).scalars()
        assert "attempts_due_idx" in "\n".join(plan)


def test_after_an_outage_the_polls_have_their_turn_before_anything_expires(journey: Journey):
    message_id = sent(journey, ttl=60)
    pollable = ("notify-vk",)
    journey.tick(pollable)

    assert later(journey, 3600, pollable)["expired"] == 0  # the first tick for an hour
    assert later(journey, 2, pollable)["expired"] == 0
    assert later(journey, 4, pollable)["expired"] == 1
    assert journey.state(message_id, 0) == "expired"


def test_a_clock_that_steps_back_does_not_stop_the_tick(journey: Journey):
    journey.advance(3600)
    assert "second" not in journey.tick()
    journey.advance(-3600)
    assert "second" not in journey.tick()


def test_a_call_that_comes_back_unsent_after_its_message_ended_is_cancelled(journey: Journey):
    message_id = journey.send()
    [claimed] = journey.claim(message_id)
    assert journey.cascade.cancel(message_id)
    journey.settle((claimed, Throttled("busy")))
    assert journey.state(message_id) == "retry"

    later(journey, 2)

    assert journey.state(message_id) == "cancelled"


def test_a_row_that_cannot_be_advanced_is_looked_at_less_and_less_often(journey: Journey):
    message_id = sent(journey, ttl=60)
    journey.change("UPDATE cascade.attempts SET step = 7 WHERE message_id = :id", id=message_id)
    pauses = []
    for _ in range(4):
        later(journey, 3700)
        row = journey.row("SELECT due_at - cascade.clock() AS pause FROM cascade.attempts")
        pauses.append(row.pause.total_seconds())

    assert pauses == [about(pause) for pause in (2, 4, 8, 16)]


def test_a_first_step_without_time_gives_way_to_one_that_has_it(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=60, ttl_minimum=15), a_step(Channel.SMS))
    [now] = journey.rows("SELECT cascade.clock() AS now")
    message_id = journey.send(deadline=now.now + dt.timedelta(seconds=10))

    later(journey, 1)

    assert [one.state for one in journey.attempts(message_id)] == ["expired", "queued"]


def test_a_receipt_that_comes_between_the_look_and_the_lock_is_heard_before_anything_expires(
    journey: Journey,
):
    message_id = sent(journey, ttl=60)
    came: list[int] = []

    def a_receipt_comes(_connection, _cursor, statement, values, *_rest):
        if "lagging" in statement and values["lane"] == "normal":  # the look for candidates
            came.append(journey.hear_of(message_id, DELIVERED))

    event.listen(journey.engine, "after_cursor_execute", a_receipt_comes)
    try:
        assert later(journey, 63)["expired"] == 0
    finally:
        event.remove(journey.engine, "after_cursor_execute", a_receipt_comes)
    journey.collect()

    assert came == [1]
    assert [one.state for one in journey.attempts(message_id)] == ["delivered"]


def test_one_tick_moves_on_whatever_is_due_at_once(journey: Journey):
    """At the end of a campaign's TTL, more is due than one round takes."""
    journey.policy(a_step(Channel.VK, ttl=60, max_wait=30), a_step(Channel.OK))
    journey.cascade.send_many([{"to": PHONE}] * 2100, text=WORDS, priority=Lane.BULK)

    counts = later(journey, 31)

    assert (counts["expired"], counts["opened"]) == (2100, 2100)


@contextmanager
def as_the_tick_looks(journey: Journey, do: Callable[[], object]) -> Iterator[None]:
    """Does something each time that the tick has looked for expiries."""

    def looked(_connection, _cursor, statement, *_rest):
        if "lagging AS MATERIALIZED" in statement:
            do()

    event.listen(journey.engine, "after_cursor_execute", looked)
    try:
        yield
    finally:
        event.remove(journey.engine, "after_cursor_execute", looked)


@pytest.mark.parametrize("trickle", [0, 1])
def test_what_is_due_besides_a_pile_of_expiries_is_rarely_looked_for(
    journey: Journey, monkeypatch: pytest.MonkeyPatch, trickle: int
):
    monkeypatch.setattr(ticking, "QUOTA", dict.fromkeys(Lane, 10))
    journey.policy(a_step(Channel.VK, ttl=60, max_wait=30), a_step(Channel.OK))
    journey.cascade.send_many([{"to": PHONE}] * 300, text=WORDS)
    journey.advance(31)
    lost = [journey.attempt(journey.send()).id for _ in range(30 * trickle)]
    moments = itertools.count(0.0, 0.001)

    def one_more() -> None:
        if lost:
            journey.change(NOW_DUE, id=lost.pop())

    with counted(journey.engine) as statements, as_the_tick_looks(journey, one_more):
        done = tick(replace(journey.ledger, monotonic=lambda: next(moments)), frozenset())

    looks = [one for one in statements if "broken AS MATERIALIZED" in one]
    assert done["expired"] == 300
    assert (done["queued"] > 1) is bool(trickle)
    assert 1 < len(looks) < 10


def test_a_retry_of_an_urgent_message_does_not_wait_for_a_pile_of_expiries(
    journey: Journey, hints: list[Hint], monkeypatch: pytest.MonkeyPatch
):
    """It falls due when the tick has just looked at the lane of the pile."""
    monkeypatch.setattr(ticking, "QUOTA", dict.fromkeys(Lane, 1))
    journey.policy(a_step(Channel.VK, ttl=60), a_step(Channel.OK))
    for _ in range(5):
        journey.call(journey.send(), Accepted())
    journey.advance(63)
    urgent = journey.attempt(journey.send(priority=Lane.URGENT)).id
    hints.clear()
    moments = itertools.count(0.0, 0.001)
    lost = [urgent]

    with as_the_tick_looks(journey, lambda: lost and journey.change(NOW_DUE, id=lost.pop())):
        tick(replace(journey.ledger, monotonic=lambda: next(moments)), frozenset())

    assert (hints[1], len(hints)) == (Hint(Channel.VK, Lane.URGENT, urgent), 6)


@pytest.mark.parametrize("state", ["queued", "sent"])
def test_the_look_for_expiries_reads_no_more_than_it_takes(journey: Journey, state: str):
    with journey.engine.connect() as connection:
        backlog(connection)
        connection.execute(
            text(
                "UPDATE cascade.attempts SET state = CAST(:state AS cascade.attempt_state),"
                " expires_at = cascade.clock() - CAST(:grace AS interval)"
            ),
            {"state": state, "grace": RECEIPT_GRACE},
        )
        values = {
            "lane": "normal",
            "quota": 100,
            "pollable": [],
            "poll_patience": sweep.POLL_PATIENCE,
            "lag_limit": sweep.LAG_LIMIT,
            "lag_patience": sweep.LAG_PATIENCE,
            "call_tolerance": CALL_TOLERANCE,
            "grace": RECEIPT_GRACE,
        }
        read = rows_read(connection, sweep._EXPIRED.text, values)
        connection.rollback()

    assert (read["attempts"], read.get("messages", 0)) == (100, 0)


def test_the_look_for_due_lanes_reads_nothing_but_the_index(journey: Journey):
    journey.cascade.send_many([{"to": PHONE}] * 2000, text=WORDS, priority=Lane.BULK)
    journey.send(priority=Lane.URGENT)
    journey.change("UPDATE cascade.attempts SET due_at = cascade.clock() WHERE lane = 'urgent'")
    journey.change(
        "UPDATE cascade.attempts SET state = 'expired', ended_at = cascade.clock(), due_at = NULL"
        " WHERE lane = 'bulk' AND id % 20 > 0"
    )

    with journey.engine.begin() as connection:
        connection.execute(text("ANALYZE cascade.attempts"))
        plan = connection.execute(text(f"EXPLAIN {sweep._DUE_LANES.text}")).scalars().all()
        assert sweep.due_lanes(connection) == [Lane.URGENT]

    assert not [line for line in plan if "Seq Scan on attempts" in line]
    assert [line for line in plan if "attempts_due_idx" in line]


@pytest.mark.parametrize("lane", Lane)
def test_a_claim_and_its_result_write_no_index(journey: Journey, lane: Lane):
    message_id = journey.send(priority=lane)
    before = journey.attempt(message_id).due_at

    journey.call(message_id, Accepted())

    assert journey.attempt(message_id).due_at == before
