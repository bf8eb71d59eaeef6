from __future__ import annotations

import datetime as dt
import json
import uuid

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from sqlalchemy import Connection, Engine, TextClause, text

from cascade import InvalidInputError, OnStatus
from cascade.channels.base import Accepted
from cascade.domain import engine
from cascade.domain.callback import Callback
from cascade.domain.errors import ConfigurationError
from cascade.domain.event import Event
from cascade.domain.state import AttemptState, Channel, MessageState
from cascade.services.advance import advance
from cascade.services.events import PAGE, events
from cascade.storage import events as storage
from cascade.storage.database import now as database_now, transaction
from cascade.storage.events import Outcome, claim_callbacks, settle_callbacks
from tests.acceptance.waiting import until
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration

LEASE = dt.timedelta(seconds=60)
SHOP = OnStatus(task="shop.on_status", queue="shop")


def claim(journey: Journey, *, quota: int = 100) -> list[Callback]:
    return transaction(journey.engine, lambda c: claim_callbacks(c, quota, lease=LEASE))


def settle(journey: Journey, *outcomes: Outcome) -> list[int]:
    return transaction(journey.engine, lambda c: settle_callbacks(c, outcomes))


def tell(journey: Journey) -> list[tuple[uuid.UUID, int]]:
    """Claims what is due and says that it was told."""
    claimed = claim(journey)
    settle(journey, *(Outcome(callback=one, was_told=True) for one in claimed))
    return [(one.message_id, one.sequence) for one in claimed]


def event(journey: Journey, message_id: uuid.UUID, sequence: int = 1) -> Any:
    return journey.row(
        "SELECT * FROM cascade.events WHERE message_id = :id AND sequence = :sequence",
        id=message_id,
        sequence=sequence,
    )


def cancelled(journey: Journey, on_status: OnStatus | None = SHOP) -> uuid.UUID:
    """A message with one event."""
    message_id = journey.send(on_status=on_status)
    assert journey.cascade.cancel(message_id)
    return message_id


def promoted(journey: Journey, on_status: OnStatus | None = SHOP) -> uuid.UUID:
    """A message with two events: undelivered, then delivered after all."""
    journey.policy(a_step(Channel.VK, ttl=15), name="vk")
    message_id = journey.send(policy="vk", on_status=on_status)
    journey.call(message_id, Accepted())
    journey.advance(18)
    journey.tick()
    journey.deliver(message_id)
    return message_id


def read(journey: Journey, since: str | dt.datetime | None = None, **more: int) -> list[Event]:
    """What the feed gives once no other transaction of this server is in its way."""
    until(lambda: is_settled(journey.engine), seconds=20, what="end of older transactions")
    return list(events(journey.ledger, since, **more))


def is_settled(database: Engine) -> bool:
    with database.connect() as connection:
        return bool(
            connection.execute(
                text("""
                    SELECT coalesce(max(transaction), 0)
                        < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)
                    FROM cascade.events
                """)
            ).scalar_one()
        )


@contextmanager
def cancelling(journey: Journey, message_id: uuid.UUID) -> Iterator[None]:
    """A transaction that cancels the message, and is open while the block runs."""
    with journey.engine.begin() as connection:
        assert (
            advance(
                journey.ledger.store.on(connection), journey.ledger, {message_id: [engine.cancel]}
            ).ended
            == 1
        )
        yield


def test_a_message_that_ends_has_one_event_and_one_that_lives_has_none(journey: Journey) -> None:
    message_id = journey.send()
    assert journey.rows("SELECT FROM cascade.events") == []

    journey.call(message_id, Accepted())
    journey.deliver(message_id)
    journey.hear_of(message_id, AttemptState.READ)
    journey.collect()

    [one] = journey.rows("SELECT * FROM cascade.events")
    assert (one.message_id, one.sequence, one.state) == (message_id, 1, "delivered")
    assert one.happened_at == journey.message(message_id).ended_at
    assert one.due_at is None  # nobody asked


def test_a_message_that_is_delivered_after_all_has_a_second_event(journey: Journey) -> None:
    message_id = promoted(journey)

    states = [(event(journey, message_id, n).state) for n in (1, 2)]

    assert states == ["undelivered", "delivered"]


def test_a_change_that_is_rolled_back_leaves_no_event(journey: Journey) -> None:
    message_id = journey.send()

    with pytest.raises(KeyError), cancelling(journey, message_id):
        raise KeyError

    assert journey.rows("SELECT FROM cascade.events") == []


def test_each_event_is_claimed_once_until_its_lease_ends(journey: Journey) -> None:
    ids = {cancelled(journey) for _ in range(3)}

    first, second = claim(journey, quota=2), claim(journey)

    assert {one.message_id for one in (*first, *second)} == ids
    assert (len(first), len(second), claim(journey)) == (2, 1, [])
    assert first[0].to == SHOP
    journey.advance(61)
    assert {one.tries for one in claim(journey)} == {2}


def test_what_another_transaction_claims_is_skipped(journey: Journey) -> None:
    one, other = cancelled(journey), cancelled(journey)

    with journey.engine.begin() as connection:
        [held] = claim_callbacks(connection, 1, lease=LEASE)
        [free] = claim(journey)

    assert {held.message_id, free.message_id} == {one, other}


def test_an_event_waits_for_the_earlier_one_of_its_message(journey: Journey) -> None:
    message_id = promoted(journey)

    [first] = claim(journey)
    assert (first.sequence, claim(journey)) == (1, [])
    settle(journey, Outcome(callback=first, pause=30))
    assert claim(journey) == []  # it waits for another try

    journey.advance(31)
    assert tell(journey) == [(message_id, 1)]
    assert tell(journey) == [(message_id, 2)]
    assert tell(journey) == []


def test_an_event_does_not_wait_for_an_earlier_one_that_is_given_up(journey: Journey) -> None:
    message_id = promoted(journey)
    [first] = claim(journey)

    assert settle(journey, Outcome(callback=first)) == [first.event_id]

    assert tell(journey) == [(message_id, 2)]
    one = event(journey, message_id)
    assert (one.due_at, one.told_at, one.tries) == (None, None, 1)


def test_only_the_newest_claim_may_say_that_it_failed(journey: Journey) -> None:
    message_id = cancelled(journey)
    [slow] = claim(journey)
    journey.advance(61)
    [newest] = claim(journey)

    assert settle(journey, Outcome(callback=slow)) == []

    assert event(journey, message_id).due_at is not None
    assert settle(journey, Outcome(callback=newest)) == [newest.event_id]


def test_that_it_was_told_counts_whoever_says_it_and_stays(journey: Journey) -> None:
    message_id = cancelled(journey)
    [slow] = claim(journey)
    journey.advance(61)
    [newest] = claim(journey)

    settle(journey, Outcome(callback=slow, was_told=True))
    told_at = event(journey, message_id).told_at
    journey.advance(1)
    settle(journey, Outcome(callback=newest, pause=5))
    settle(journey, Outcome(callback=newest, was_told=True))

    one = event(journey, message_id)
    assert (one.due_at, one.told_at) == (None, told_at)
    assert told_at is not None


def test_what_was_not_tried_does_not_count_as_a_try(journey: Journey) -> None:
    message_id = cancelled(journey)
    [one] = claim(journey)

    settle(journey, Outcome(callback=one, was_tried=False, pause=0))

    assert event(journey, message_id).tries == 0
    assert len(claim(journey)) == 1


def test_what_is_owed_overdue_and_given_up_is_counted(journey: Journey) -> None:
    for _ in range(4):
        cancelled(journey)
    cancelled(journey, None)
    told, waiting, lost, _in_flight = claim(journey)
    settle(
        journey,
        Outcome(callback=told, was_told=True),
        Outcome(callback=waiting, pause=30),
        Outcome(callback=lost),
    )
    journey.advance(40)

    state = transaction(journey.engine, storage.callbacks_state)

    assert (state.owed, state.overdue, state.given_up) == (2, 1, 1)
    assert 10 <= state.lag < 15


def test_the_feed_gives_every_event_in_order_and_goes_on_where_it_was(journey: Journey) -> None:
    first = promoted(journey)
    second = cancelled(journey, None)

    heard = read(journey)

    assert [(one.message_id, one.sequence, one.state) for one in heard] == [
        (first, 1, MessageState.UNDELIVERED),
        (first, 2, MessageState.DELIVERED),
        (second, 1, MessageState.CANCELLED),
    ]
    for place, one in enumerate(heard, 1):
        assert read(journey, one.cursor) == heard[place:]
    assert read(journey, limit=2) == heard[:2]


def test_a_reader_misses_no_event_that_is_committed_late(journey: Journey) -> None:
    slow, quick = journey.send(), journey.send()
    before = read(journey)

    with cancelling(journey, slow):
        journey.cascade.cancel(quick)  # a later transaction, that is committed first
        meanwhile = list(events(journey.ledger))

    assert (before, meanwhile) == ([], [])
    assert [one.message_id for one in read(journey)] == [slow, quick]


def test_a_reader_may_begin_at_a_time(journey: Journey) -> None:
    cancelled(journey)
    journey.advance(60)
    later = cancelled(journey)
    [moment] = [event(journey, later).happened_at]

    assert [one.message_id for one in read(journey, moment)] == [later]
    assert read(journey, moment + dt.timedelta(microseconds=1)) == []


def test_the_feed_is_read_page_by_page_with_no_transaction_open_between(journey: Journey) -> None:
    number = PAGE + 3
    messages = journey.cascade.send_many([{"to": PHONE}] * number, text=WORDS).ids
    transaction(
        journey.engine,
        lambda c: advance(
            journey.ledger.store.on(c),
            journey.ledger,
            {one: [engine.cancel] for one in messages if one},
        ),
    )

    heard = iter(read(journey))
    until(lambda: is_settled(journey.engine), seconds=20, what="end of older transactions")
    lazily = events(journey.ledger)
    next(lazily)

    assert journey.ledger.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool
    assert len({one.cursor for one in heard}) == number
    assert sum(1 for _ in lazily) == number - 1


@pytest.mark.parametrize(
    "since",
    ["", "yesterday", "1", "1-", "-1-2", "1-2-3", "٣-٤", "1-99999999999999999999", f"{2**63}-1"],
)
def test_what_is_no_cursor_is_refused_at_once(journey: Journey, since: str) -> None:
    with pytest.raises(InvalidInputError, match="since: it is not a cursor"):
        events(journey.ledger, since)


def test_a_time_without_a_zone_is_refused_at_once(journey: Journey) -> None:
    with pytest.raises(InvalidInputError, match="since: a time without a zone"):
        events(journey.ledger, dt.datetime(2026, 11, 22))  # noqa: DTZ001  # that is the point


def test_a_limit_of_nothing_is_refused(journey: Journey) -> None:
    with pytest.raises(InvalidInputError, match="limit"):
        events(journey.ledger, limit=0)


def test_a_cursor_from_before_the_database_was_restored_is_refused(journey: Journey) -> None:
    with pytest.raises(InvalidInputError, match="ahead of this database"):
        events(journey.ledger, f"{2**40}-1")


def test_events_that_a_dump_brought_from_another_server_are_not_passed_over(
    journey: Journey,
) -> None:
    cancelled(journey)
    journey.change("UPDATE cascade.events SET transaction = :far", far=2**40)

    with pytest.raises(ConfigurationError, match="SET transaction = 0"):
        events(journey.ledger)

    journey.change("UPDATE cascade.events SET transaction = 0")
    assert len(read(journey)) == 1


def test_each_statement_meets_only_the_rows_that_it_needs(journey: Journey) -> None:
    with journey.engine.connect() as connection:
        _remember(connection)

        counting = _met(connection, storage._STATE)
        claiming = _met(connection, storage._CLAIM, quota=500, lease=LEASE)
        reading = _met(
            connection, storage._READ, transaction=0, id=0, since=storage._BEGINNING, limit=500
        )
        moment = database_now(connection)
        beginning = _met(connection, storage._BEFORE, since=moment, longest=storage.LONGEST)
        connection.rollback()
    assert claiming.pop("events_task_due_idx") == claiming.pop("messages_pkey") == 500
    assert claiming.pop("events_message_id_sequence_key") == 0
    assert claiming.pop("events_pkey") == 500
    assert (claiming, reading, beginning) == (
        {},
        {"events_transaction_idx": 500},
        {"events_happened_idx": 1},
    )
    assert counting.pop("endpoints_pkey", 0) == counting.pop("endpoints", 0) == 0
    assert counting == {
        "events_task_due_idx": OWED,
        "events_endpoint_due_idx": 0,
        "events_given_up_idx": 0,
    }


TOLD = 18_000  # of so many events
OWED = 2000

# Nodes over rows that another node has met.
TWICE = ("Bitmap Heap Scan", "ModifyTable")


def _remember(connection: Connection) -> None:
    """Fills the table with a day's events."""
    connection.execute(
        text("""
            INSERT INTO cascade.messages (id, sender, recipient, recipient_hash, content,
                policy_id, lane, state, deadline, created_at, ended_at, on_status)
            SELECT gen_random_uuid(), 'default', '', '', '', p.id, 'normal', 'delivered',
                cascade.clock(), cascade.clock(), cascade.clock(),
                '{"task": "t", "queue": "q", "broker": "default"}'
            FROM generate_series(1, :number)
            CROSS JOIN (SELECT min(id) AS id FROM cascade.policies) p
        """),
        {"number": TOLD + OWED},
    )
    connection.execute(
        text("""
            INSERT INTO cascade.events (transaction, message_id, sequence, state, happened_at,
                due_at, told_at)
            SELECT n / 100, id, 1, 'delivered', cascade.clock() - make_interval(secs => :told - n),
                CASE WHEN n > :told THEN cascade.clock() END,
                CASE WHEN n <= :told THEN cascade.clock() END
            FROM (SELECT id, row_number() OVER () AS n FROM cascade.messages) m
        """),
        {"told": TOLD},
    )
    connection.execute(text("ANALYZE cascade.events, cascade.messages"))


def _met(connection: Connection, statement: TextClause, **values: object) -> dict[str, int]:
    """How many rows each scan of a table's index has met."""
    asked = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}")
    plan = connection.execute(asked, values).scalar_one()
    found = _nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])
    return {
        node["Index Name" if "Index Name" in node else "Relation Name"]: int(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        )
        for node in found
        if {"Index Name", "Relation Name"} & node.keys() and node["Node Type"] not in TWICE
    }


def _nodes(plan: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", []) for node in _nodes(part))]
