from __future__ import annotations

import datetime as dt

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from cascade.client import Cascade, Row
from cascade.domain.errors import (
    ConfigurationError,
    IdempotencyConflictError,
    InvalidInputError,
    TryAgainError,
)
from cascade.domain.event import OnStatus
from cascade.domain.hint import Hint
from cascade.domain.message import Template, words_for
from cascade.domain.state import Channel, Lane
from cascade.services.sealed import open_content
from cascade.services.submission import Submission, check
from cascade.services.submit import submit
from cascade.storage import policies
from tests.services.journey import PHONE, WORDS, Journey


pytestmark = pytest.mark.integration


def count(journey: Journey, table: str) -> int:
    return int(journey.row(f"SELECT count(*) FROM cascade.{table}")[0])  # noqa: S608  # names from below


def test_an_accepted_message_has_a_queued_first_attempt_and_one_hint(
    journey: Journey, hints: list[Hint]
):
    message_id = journey.send(priority="urgent")

    attempt = journey.attempt(message_id)
    assert (attempt.step, attempt.channel, attempt.account) == (0, "vk", "notify-vk")
    assert (attempt.state, attempt.lane, attempt.tries) == ("queued", "urgent", 0)
    assert attempt.due_at is not None
    assert hints == [Hint(Channel.VK, Lane.URGENT, attempt.id)]


def test_neither_the_number_nor_the_words_stand_readable_in_any_row(journey: Journey):
    journey.send(key=PHONE)

    dump = journey.rows(
        "SELECT m::text FROM cascade.messages m UNION ALL SELECT a::text FROM cascade.attempts a"
        " UNION ALL SELECT k::text FROM cascade.idempotency_keys k"
    )
    everything = " ".join(row[0] for row in dump)
    for secret in ("9161234567", PHONE.encode().hex()[2:], WORDS, WORDS.encode().hex()):
        assert secret not in everything


def test_the_same_key_with_the_same_request_gives_the_first_id(
    journey: Journey, hints: list[Hint]
):
    first = journey.send(key="order-1")

    assert journey.send(key="order-1") == first
    assert count(journey, "messages") == 1
    assert len(hints) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"to": "+79161234568"},
        {"text": "other words"},
        {"policy": "patient"},
        {"texts": {"sms": "other words"}},
        {"text": "#name#", "variables": {"name": "x"}},
        {"policy": [{"channel": "sms", "ttl": "60s"}]},
        {"send_at": dt.datetime(2089, 1, 1, tzinfo=dt.UTC)},
        {"on_status": OnStatus("shop.on_status", "shop")},
        {"priority": "bulk"},
        {"templates": {"whatsapp": Template("ready", "ru", {})}},
        {"deadline": dt.datetime(2090, 1, 1, tzinfo=dt.UTC)},
    ],
    ids=lambda other: " ".join(f"{name} {type(other[name]).__name__}" for name in other),
)
def test_the_same_key_with_another_request_is_a_conflict(journey: Journey, other: dict[str, Any]):
    journey.send(key="order-1")

    with pytest.raises(IdempotencyConflictError):
        journey.send(**{"key": "order-1", **other})
    assert count(journey, "messages") == 1


def test_the_same_moment_in_another_time_zone_is_the_same_request(journey: Journey):
    deadline = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)
    first = journey.send(key="order-1", deadline=deadline, send_at=deadline - dt.timedelta(days=1))

    again = journey.send(
        key="order-1",
        deadline=deadline.astimezone(WEST),
        send_at=(deadline - dt.timedelta(days=1)).astimezone(WEST),
    )

    assert again == first


def test_a_repeat_gives_the_first_id_though_its_policy_could_not_be_used_any_more(
    journey: Journey,
):
    steps = [{"channel": "viber", "ttl": "30s"}]
    first = journey.send(key="order-1", policy=steps)
    with journey.engine.begin() as connection:
        connection.execute(text("UPDATE cascade.channels SET ttl_minimum = 45"))

    assert journey.send(key="order-1", policy=steps) == first
    with pytest.raises(InvalidInputError, match="policy, step 1, ttl"):
        journey.send(key="order-2", policy=steps)


def test_lists_of_steps_do_not_grow_without_end(journey: Journey, monkeypatch: Any):
    monkeypatch.setattr(policies, "INLINE_MAXIMUM", 3)
    for seconds in (60, 61, 62):
        journey.send(policy=[{"channel": "sms", "ttl": f"{seconds}s"}])

    with pytest.raises(InvalidInputError, match="use a named policy"):
        journey.send(policy=[{"channel": "sms", "ttl": "63s"}])
    journey.send(policy=[{"channel": "sms", "ttl": "62s"}])


def test_a_row_with_an_impossible_time_stops_nobody(journey: Journey):
    rows: list[Row] = [
        {"to": PHONE},
        {"to": PHONE, "send_at": dt.datetime(9999, 12, 31, tzinfo=dt.UTC)},
        {"to": PHONE},
    ]

    report = journey.cascade.send_many(rows, text=WORDS)

    assert [(one.row, one.error.field) for one in report.errors] == [(2, "send_at")]
    assert count(journey, "messages") == 2


def test_two_senders_may_use_one_key(journey: Journey):
    assert journey.send(key="1", sender="shop") != journey.send(key="1", sender="bank")


def test_fifty_threads_with_one_key_write_one_message(journey: Journey, hints: list[Hint]):
    with ThreadPoolExecutor(50) as pool:
        ids = {done.result() for done in [pool.submit(journey.send, key="one") for _ in range(50)]}

    assert len(ids) == 1
    assert (count(journey, "messages"), count(journey, "attempts"), len(hints)) == (1, 1, 1)


def test_an_expired_key_is_taken_over_by_the_next_request(journey: Journey):
    first = journey.send(key="order-1")
    journey.advance(7 * 86400 - 60)
    assert journey.send(key="order-1") == first

    journey.advance(61)
    second = journey.send(key="order-1", text="new words")
    assert second != first
    assert journey.send(key="order-1", text="new words") == second


def test_two_sends_with_the_same_keys_in_opposite_order_do_not_deadlock(
    journey: Journey, deadlocks: list[str]
):
    keys = [f"key-{number}" for number in range(200)]

    def send(order: Iterable[str]) -> list[object]:
        rows: list[Row] = [{"to": PHONE, "key": key} for key in order]
        return list(journey.cascade.send_many(rows, text=WORDS).ids)

    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(send, keys[:: 1 if n % 2 else -1]) for n in range(4)]
        ids = [done.result() if n % 2 else done.result()[::-1] for n, done in enumerate(sent)]

    assert ids[0] == ids[1] == ids[2] == ids[3]
    assert count(journey, "messages") == 200
    assert deadlocks == []


def test_a_refused_row_is_named_and_stops_nobody(journey: Journey, hints: list[Hint]):
    rows: list[Row] = [
        {"to": PHONE, "variables": {"name": "А"}},
        {"to": "12", "variables": {"name": "А"}},
        {"to": PHONE},
        {"to": PHONE, "variables": {"name": "x" * 1001}},
        {"to": PHONE, "variables": {"name": "Б"}, "key": "k"},
        {"to": PHONE, "variables": {"name": "В"}, "key": "k"},
    ]

    report = journey.cascade.send_many(rows, text="#name#, ждём")

    assert [(one.row, one.error.field) for one in report.errors] == [
        (2, "to"),
        (3, "variables['name']"),
        (4, "text"),
        (6, "key"),
    ]
    assert [one is not None for one in report.ids] == [True, False, False, False, True, False]
    assert report.accepted == 2
    assert len(hints) == count(journey, "messages") == 2


def test_each_row_of_a_set_keeps_its_own_time(journey: Journey, hints: list[Hint]):
    now = journey.row("SELECT cascade.clock()")[0]
    times = [None, now + dt.timedelta(hours=1), now + dt.timedelta(hours=2), None]
    rows: list[Row] = [{"to": PHONE, "send_at": time} for time in times]

    report = journey.cascade.send_many(rows, text=WORDS)

    ids = [one for one in report.ids if one is not None]
    assert [journey.message(one).send_at for one in ids] == times
    assert [journey.state(one) for one in ids] == ["queued", "scheduled", "scheduled", "queued"]
    assert [journey.attempt(one).due_at for one in ids[1:3]] == times[1:3]
    assert [hint.attempt_id for hint in hints] == [
        journey.attempt(one).id for one in (ids[0], ids[3])
    ]


def test_a_set_of_one_key_and_one_request_is_one_message(journey: Journey):
    report = journey.cascade.send_many([{"to": PHONE, "key": "k"}] * 3, text=WORDS)

    assert len(set(report.ids)) == 1
    assert count(journey, "messages") == 1


def test_sending_to_nobody_is_no_fault(journey: Journey, hints: list[Hint]):
    assert journey.cascade.send_many([], text=WORDS).ids == []
    assert hints == []


LONE = "\ud83d"  # half of an emoji
NO_TEXT: Any = {"1": 5}
A_STEP = {"channel": "sms", "ttl": "60s"}
WEST = dt.timezone(dt.timedelta(hours=-5))
LATER = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("text", {"text": "a\x00b"}),
        ("text", {"text": LONE}),
        ("text", {"text": "  "}),
        ("text", {"text": "x" * 1001}),
        ("text", {"text": "#name#" * 2, "variables": {"name": "x" * 501}}),
        ("text", {"text": None}),
        ("variables['name']", {"text": "#name#"}),
        ("variables['name']", {"text": "#name#", "variables": {"name": "\x00"}}),
        ("variables['name']", {"text": "#name#", "variables": {"name": LONE}}),
        ("variables['name']", {"text": "#name#", "variables": {"name": 5}}),
        ("variables", {"variables": {LONE: "x"}}),
        ("variables['name']", {"variables": {"name": "x"}}),
        ("texts['sms']", {"texts": {"sms": " "}}),
        ("texts['sms']", {"texts": {"sms": "x" * 1001}}),
        ("texts['sms']", {"texts": {"sms": LONE}}),
        ("texts['pigeon']", {"texts": {"pigeon": "x"}}),
        ("variables['day']", {"texts": {"sms": "#day#"}}),
        (
            "variables['day']",
            {"texts": {"vk": "#day#"}, "templates": {"vk": Template("t", "ru", {})}},
        ),
        ("language", {"text": {"ru": "Привет"}}),
        ("language", {"text": {"ru": "Привет"}, "language": "en"}),
        ("language", {"texts": {"sms": {"ru": "Привет"}}, "language": "en"}),
        ("language", {"text": {}}),
        ("language", {"language": ""}),
        ("templates['whatsapp'].language", {"templates": {"whatsapp": Template("t")}}),
        ("templates['whatsapp']", {"templates": {"whatsapp": "t"}}),
        ("policy", {"policy": None}),
        ("policy", {"policy": []}),
        ("policy", {"policy": ["sms"]}),
        ("policy, step 1", {"policy": [{"channel": "sms", "ttl": 60}]}),
        ("policy, step 1, channel", {"policy": [{"channel": "pigeon", "ttl": "60s"}]}),
        ("policy, step 1, ttl", {"policy": [{"channel": "vk", "ttl": "5s"}]}),
        ("policy, step 2", {"policy": [{"channel": "vk", "ttl": "20s"}] * 2}),
        ("policy, step 1, tll", {"policy": [{"channel": "vk", "tll": "5s"}]}),
        (
            "policy, step 1, success",
            {"policy": [{"channel": "sms", "ttl": "60s", "success": "read"}]},
        ),
        ("on_status.task", {"on_status": OnStatus("", "shop")}),
        ("on_status.task", {"on_status": OnStatus()}),
        ("on_status.endpoint", {"on_status": OnStatus(endpoint="")}),
        ("on_status.endpoint", {"on_status": OnStatus(endpoint="a\x00")}),
        ("on_status", {"on_status": OnStatus("task", "shop", endpoint="shop")}),
        ("on_status", {"on_status": OnStatus(broker="shop", endpoint="shop")}),
        ("on_status.queue", {"on_status": OnStatus("task", "\x00")}),
        ("send_at", {"send_at": dt.datetime(2090, 1, 1)}),  # noqa: DTZ001  # that is the point
        ("send_at", {"send_at": "tomorrow"}),
        ("deadline", {"send_at": LATER, "deadline": LATER}),
        ("send_at", {"send_at": dt.datetime(9999, 12, 31, tzinfo=dt.UTC)}),
        ("deadline", {"deadline": dt.datetime.max.replace(tzinfo=WEST)}),
        ("text", {"text": {"ru": "Привет", "en": LONE}, "language": "ru"}),
        ("text", {"text": {"ru": "Привет", "en": 5}, "language": "ru"}),
        ("policy, step 1, max_wait", {"policy": [{**A_STEP, "max_wait": "9999999d"}]}),
        ("templates['whatsapp']", {"templates": {"whatsapp": Template(LONE, "ru", {})}}),
        ("templates['whatsapp']", {"templates": {"whatsapp": Template("t", "\x00", {})}}),
        ("templates['whatsapp']", {"templates": {"whatsapp": Template("t", "ru", {"1": LONE})}}),
        ("templates['whatsapp']", {"templates": {"whatsapp": Template("t", "ru", {LONE: "1"})}}),
        ("templates['whatsapp']", {"templates": {"whatsapp": Template("t", "ru", NO_TEXT)}}),
        ("variables['day']", {"templates": {"whatsapp": Template("t", "ru", {"1": "#day#"})}}),
        ("templates['pigeon']", {"templates": {"pigeon": Template("t", "ru", {})}}),
        ("sender", {"sender": ""}),
        ("sender", {"sender": "x" * 201}),
        ("sender", {"sender": "\x00"}),
        ("key", {"key": ""}),
        ("key", {"key": LONE}),
        ("key", {"key": 5}),
        ("policy", {"policy": "\x00"}),
        ("policy", {"policy": LONE}),
        ("priority", {"priority": "now"}),
        ("to", {"to": "hello"}),
        ("to", {"to": LONE}),
        ("to", {"to": ""}),
        ("deadline", {"deadline": dt.datetime(2090, 1, 1)}),  # noqa: DTZ001  # that is the point
        ("deadline", {"deadline": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}),
    ],
)
def test_what_cannot_be_sent_is_refused_by_the_name_of_its_field(
    journey: Journey, hints: list[Hint], field: str, asked: dict[str, Any]
):
    with pytest.raises(InvalidInputError) as error:
        journey.send(**asked)

    assert error.value.field.startswith(field)
    assert count(journey, "messages") == count(journey, "idempotency_keys") == 0
    assert hints == []


@pytest.mark.parametrize(
    "words",
    ["x" * 1000, "👨‍👩‍👧 emoji", "'; DROP TABLE cascade.messages; --", "\\u0000", "%s :ids"],
)
def test_any_proper_text_comes_back_as_it_went_in(journey: Journey, words: str):
    [claimed] = journey.claim(journey.send(text=words))

    content = open_content(journey.ledger.keyring, claimed.message_id, claimed.content)
    assert words_for(content, "sms") == words


def test_an_unknown_policy_is_named_and_nothing_is_written(journey: Journey):
    with pytest.raises(ConfigurationError, match="nobody"):
        journey.send(policy="nobody", key="k")
    assert count(journey, "idempotency_keys") == 0


def test_a_message_past_its_deadline_leaves_its_key_unused(journey: Journey):
    late = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

    for _ in range(2):
        with pytest.raises(InvalidInputError, match="deadline"):
            journey.send(key="order-1", deadline=late)
    assert journey.message(journey.send(key="order-1")).state == "in_progress"


def test_a_repeat_after_the_deadline_still_gives_the_first_id(journey: Journey):
    deadline = journey.row("SELECT cascade.clock() + interval '60 seconds'")[0]
    first = journey.send(key="order-1", deadline=deadline)
    journey.advance(61)

    assert journey.send(key="order-1", deadline=deadline) == first


def test_one_late_row_does_not_stop_its_neighbours(journey: Journey):
    now = journey.row("SELECT cascade.clock()")[0]
    asked = Submission(to=PHONE, text=WORDS)
    timely, late = check(asked), check(replace(asked, deadline=now))

    results = submit(journey.ledger, [late, timely])

    assert isinstance(results[0], InvalidInputError)
    assert results[1] == timely.message_id
    assert count(journey, "messages") == 1


def test_a_hint_is_published_only_after_its_row_is_committed(journey: Journey):
    seen: list[int] = []

    def publish(hints: Iterable[Hint]) -> int:
        ids = [hint.attempt_id for hint in hints]
        found = journey.rows("SELECT id FROM cascade.attempts WHERE id = ANY(:ids)", ids=ids)
        seen.extend(row.id for row in found)
        return len(ids)

    message_id = Cascade(replace(journey.ledger, publish=publish)).send(to=PHONE, text=WORDS)

    assert seen == [journey.attempt(message_id).id]


def test_a_hint_that_is_lost_costs_eight_seconds_and_no_message(
    journey: Journey, hints: list[Hint]
):
    def publish(_hints: Iterable[Hint]) -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        Cascade(replace(journey.ledger, publish=publish)).send(to=PHONE, text=WORDS)
    journey.advance(8.1)
    journey.tick()

    [attempt] = journey.rows("SELECT id FROM cascade.attempts")
    assert [hint.attempt_id for hint in hints] == [attempt.id]


def test_whoever_waits_too_long_for_a_key_may_try_again(journey: Journey, impatient: Engine):
    cascade = Cascade(replace(journey.ledger, engine=impatient))

    with journey.engine.begin() as holder:
        holder.execute(text("LOCK TABLE cascade.idempotency_keys IN EXCLUSIVE MODE"))
        with pytest.raises(TryAgainError, match="key"):
            cascade.send(to=PHONE, text=WORDS, key="order-1")
    journey.message(cascade.send(to=PHONE, text=WORDS, key="order-1"))


def test_a_commit_that_was_not_seen_is_repeated_without_a_second_message(journey: Journey):
    one = check(Submission(to=PHONE, text=WORDS, key="order-1"))

    assert submit(journey.ledger, [one]) == submit(journey.ledger, [one]) == [one.message_id]
    assert count(journey, "messages") == count(journey, "attempts") == 1


def test_a_message_id_stamped_by_its_producer_is_written_once(journey: Journey, hints: list[Hint]):
    stamped = uuid7()
    asked = Submission(to=PHONE, text=WORDS, message_id=stamped)

    with ThreadPoolExecutor(4) as pool:
        ids = [pool.submit(submit, journey.ledger, [check(asked)]) for _ in range(8)]
        assert {done.result()[0] for done in ids} == {stamped}

    assert count(journey, "attempts") == len(hints) == 1


def test_a_broken_connection_is_replaced_and_the_message_written_once(
    journey: Journey, cut_connection: Callable[[str], list[str]]
):
    cut = cut_connection("INSERT INTO cascade.messages")

    message_id = journey.send(key="order-1")

    assert len(cut) == 1
    assert journey.message(message_id).state == "in_progress"
    assert count(journey, "messages") == 1
