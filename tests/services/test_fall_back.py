"""Refused calls whose next step plainly opens: as the engine would, for all of them at once."""

from __future__ import annotations

import logging
import re
import uuid

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest

from sqlalchemy import Row
from sqlalchemy.exc import OperationalError

from cascade.channels.base import Accepted, Rejected, Result, Undeliverable, Unsupported
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState, Channel, Lane, Success
from cascade.services.advance import Advanced
from cascade.services.cancel import cancel
from tests.services.by_engine import by_the_engine
from tests.services.journey import Journey, a_step
from tests.services.statements import counted


pytestmark = pytest.mark.integration

REFUSED = Unsupported("no user")

# What happens before the result of the newest call comes in.
Life = Callable[[Journey], uuid.UUID]
# … and between its claim and its result.
Meanwhile = Callable[[Journey, uuid.UUID], object]


def new(journey: Journey) -> uuid.UUID:
    return journey.send()


def with_little_time(journey: Journey) -> uuid.UUID:
    """Enough for the first step, not for the 30 seconds that the second one's provider takes."""
    return journey.send(deadline=journey.row("SELECT cascade.clock() + interval '20 s' AS at").at)


def urgent(journey: Journey) -> uuid.UUID:
    return journey.send(priority="urgent")


def fallen_back(journey: Journey) -> uuid.UUID:
    message = journey.send()
    journey.call(message, REFUSED)
    return message


def at_the_last(journey: Journey) -> uuid.UUID:
    message = fallen_back(journey)
    journey.call(message, REFUSED)
    return message


def after_an_expiry(journey: Journey) -> uuid.UUID:
    message = journey.send()
    journey.call(message, Accepted())
    journey.advance(100)
    journey.tick()
    return message


def unread(journey: Journey) -> uuid.UUID:
    """Delivered, not read in time, and so on its way to the next step."""
    message = journey.send()
    journey.call(message, Accepted())
    journey.deliver(message)
    journey.advance(100)
    journey.tick()
    return message


LIVES: dict[str, Life] = {
    one.__name__: one
    for one in (
        new,
        with_little_time,
        urgent,
        fallen_back,
        at_the_last,
        after_an_expiry,
        unread,
    )
}


def nothing(journey: Journey, message: uuid.UUID) -> None: ...


def is_cancelled(journey: Journey, message: uuid.UUID) -> None:
    cancel(journey.ledger, message)


def hears(status: AttemptState) -> Meanwhile:
    def hear(journey: Journey, message: uuid.UUID) -> None:
        journey.hear_of(message, status)
        journey.collect()

    return hear


def hears_of_the_first(journey: Journey, message: uuid.UUID) -> None:
    journey.deliver(message, step=0)


def loses_its_lease(journey: Journey, message: uuid.UUID) -> None:
    journey.advance(15)
    journey.tick()


MEANWHILE: dict[str, Meanwhile] = {
    "nothing": nothing,
    "cancelled": is_cancelled,
    "heard as sent": hears(AttemptState.SENT),
    "delivered": hears(AttemptState.DELIVERED),
    "undeliverable": hears(AttemptState.UNDELIVERABLE),
    "the first is delivered": hears_of_the_first,
    "lease over": loses_its_lease,
}


def since(column: str) -> str:
    return f"round(extract(epoch FROM {column} - m.created_at)) AS {column.replace('.', '_')}"


# Times as whole seconds from the message's beginning.
SEEN = f"""
    SELECT m.state AS message, m.success_met, a.step, a.channel, a.account, a.state, a.error, a.lane,
        a.ttl, a.ttl_minimum, a.tries, a.hints, length(a.client_ref) AS reference, c.amount,
        {since("m.ended_at")}, {since("a.due_at")}, {since("a.expires_at")}, {since("a.ended_at")},
        {since("a.created_at")}, {since("a.sent_at")}, {since("a.delivered_at")},
        ARRAY(SELECT CAST(e.state AS text) FROM cascade.events e
            WHERE e.message_id = m.id ORDER BY sequence) AS told
    FROM cascade.messages m JOIN cascade.attempts a ON a.message_id = m.id
    LEFT JOIN cascade.charges c ON c.attempt_id = a.id
    WHERE m.id = :id ORDER BY a.step
"""  # noqa: S608  # constants


@pytest.mark.parametrize(
    ("life", "meanwhile", "result"),
    [
        *product(LIVES, MEANWHILE, [REFUSED]),
        ("new", "nothing", Rejected("bad")),
        ("new", "nothing", Undeliverable("gone")),
    ],
)
def test_a_refusal_leaves_what_the_engine_would(
    journey: Journey, life: str, meanwhile: str, result: Result
) -> None:
    journey.policy(
        a_step(Channel.VK, success=Success.READ),
        a_step(Channel.VIBER, ttl_minimum=30, max_wait=20),
        a_step(Channel.SMS, ttl=3600),
    )

    def lived() -> Sequence[Row[Any]]:
        message = LIVES[life](journey)
        claimed = journey.claim(message)
        MEANWHILE[meanwhile](journey, message)
        journey.settle(*((one, result) for one in claimed))
        return journey.rows(SEEN, id=message)

    with by_the_engine():
        by_engine = lived()

    assert lived() == by_engine


@pytest.mark.parametrize(
    ("life", "is_plain"),
    [(one, one not in {"with_little_time", "at_the_last"}) for one in LIVES],
)
def test_whatever_opens_the_next_step_is_written_in_sets(
    journey: Journey, life: str, *, is_plain: bool
) -> None:
    journey.policy(
        a_step(Channel.VK, success=Success.READ),
        a_step(Channel.VIBER, ttl_minimum=30, max_wait=20),
        a_step(Channel.SMS, ttl=3600),
    )
    message = LIVES[life](journey)
    claimed = journey.claim(message)

    with counted(journey.engine) as statements:
        journey.settle(*((one, REFUSED) for one in claimed))

    assert any("refused bigint" in one for one in statements) == is_plain


def test_the_next_step_is_hinted_at(journey: Journey) -> None:
    journey.policy(a_step(Channel.VK), a_step(Channel.OK))
    message = journey.send(priority="urgent")
    [claimed] = journey.claim(message)

    [hint] = journey.settle((claimed, REFUSED)).hints

    assert hint == Hint(Channel.OK, Lane.URGENT, journey.attempt(message).id)


def test_of_a_set_some_fall_back_plainly_and_the_others_by_the_engine(journey: Journey) -> None:
    journey.policy(a_step(Channel.VK), a_step(Channel.OK))
    messages = [journey.send() for _ in range(3)]
    for one in messages[1:]:
        journey.call(one, REFUSED)
    claimed = [one for message in messages for one in journey.claim(message)]

    settled = journey.settle(*((one, REFUSED) for one in claimed))

    states = [str(journey.message(one).state) for one in messages]
    assert states == ["in_progress", "undelivered", "undelivered"]
    assert settled.counts["unsupported"] == 3
    assert len(settled.hints) == 1


def test_a_set_that_fails_is_left_to_the_engine(
    journey: Journey, caplog: pytest.LogCaptureFixture
) -> None:
    journey.policy(a_step(Channel.VK), a_step(Channel.OK))
    bad, good = journey.send(), journey.send()
    claimed = journey.claim(bad, good)
    journey.change("UPDATE cascade.messages SET policy_id = 0 WHERE id = :id", id=bad)

    with caplog.at_level(logging.WARNING):
        journey.settle(*((one, REFUSED) for one in claimed))

    assert (journey.state(good), journey.attempt(good).channel) == ("queued", "ok")
    assert journey.state(bad) == "sending"
    assert "refusals are left to the engine: " in caplog.text
    assert "cannot be advanced" in caplog.text


def test_a_crowd_of_refusals_takes_as_many_statements_as_one(journey: Journey) -> None:
    journey.policy(a_step(Channel.VK), a_step(Channel.OK))

    def settled(count: int) -> int:
        messages = [journey.send() for _ in range(count)]
        claimed = journey.claim(*messages)
        with counted(journey.engine) as statements:
            assert len(journey.settle(*((one, REFUSED) for one in claimed)).hints) == count
        return len(statements)

    settled(1)  # reads the policy, which is kept

    assert settled(20) == settled(1) == 4


def test_it_locks_messages_and_then_attempts_each_in_id_order(journey: Journey) -> None:
    journey.policy(a_step(Channel.VK), a_step(Channel.OK))
    claimed = journey.claim(journey.send())

    with counted(journey.engine) as statements:
        journey.settle(*((one, REFUSED) for one in claimed))

    locks = [one for one in statements if "FOR NO KEY UPDATE" in one]
    assert [re.findall(r"FROM cascade\.(\w+)", one)[0] for one in locks] == [
        "messages",
        "attempts",
    ]
    assert all("ORDER BY id FOR NO KEY UPDATE" in one for one in locks)


def test_hints_of_what_fell_back_are_published_though_the_database_fails_then(
    journey: Journey,
    hints: list[Hint],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    journey.policy(a_step(Channel.VK), a_step(Channel.OK))
    plain, last = journey.send(), journey.send()
    journey.call(last, REFUSED)
    claimed = [one for message in (plain, last) for one in journey.claim(message)]
    hints.clear()

    def fails(*_: object, **__: object) -> Advanced:
        raise OperationalError("lock", {}, Exception("the database is away"))

    monkeypatch.setattr("cascade.services.settle.advance_all", fails)
    with pytest.raises(OperationalError), caplog.at_level(logging.ERROR):
        journey.settle(*((one, Rejected("bad")) for one in claimed))

    assert hints == [Hint(Channel.OK, Lane.NORMAL, journey.attempt(plain).id)]
    assert "rejected" in caplog.text
