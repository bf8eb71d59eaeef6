"""Messages that a delivery plainly ends: as the engine would, and without looking at the rest."""

from __future__ import annotations

import uuid

from collections.abc import Callable

import pytest

from sqlalchemy import text

from cascade.channels.base import Accepted, Result, Unavailable, Unknown, Unsupported
from cascade.domain.state import AttemptState, Channel, Success
from cascade.services.cancel import cancel
from cascade.storage import conclude as concluding
from cascade.storage.rows import as_ids
from tests.services.backlog import backlog, rows_read
from tests.services.by_engine import by_the_engine
from tests.services.journey import Journey, a_step
from tests.services.statements import counted


pytestmark = pytest.mark.integration

DELIVERED = AttemptState.DELIVERED

Life = Callable[[Journey], uuid.UUID]


def waiting(journey: Journey) -> uuid.UUID:
    return journey.send()


def scheduled(journey: Journey) -> uuid.UUID:
    now = journey.row("SELECT cascade.clock() + interval '1 hour' AS later").later
    return journey.send(send_at=now)


def being_called(journey: Journey) -> uuid.UUID:
    message = journey.send()
    journey.claim(message)
    return message


def answered(result: Result) -> Life:
    def life(journey: Journey) -> uuid.UUID:
        message = journey.send()
        journey.call(message, result)
        return message

    return life


def expired(journey: Journey) -> uuid.UUID:
    message = answered(Accepted())(journey)
    journey.advance(100)
    journey.tick()
    return message


def then(life: Life, status: AttemptState) -> Life:
    def longer(journey: Journey) -> uuid.UUID:
        message = life(journey)
        journey.hear_of(message, status, step=0)
        journey.collect()
        return message

    return longer


def then_called(life: Life) -> Life:
    def longer(journey: Journey) -> uuid.UUID:
        message = life(journey)
        journey.call(message, Accepted())
        return message

    return longer


def cancelled(life: Life) -> Life:
    def longer(journey: Journey) -> uuid.UUID:
        message = life(journey)
        cancel(journey.ledger, message)
        return message

    return longer


SENT = answered(Accepted())
LIVES: dict[str, Life] = {
    "waiting": waiting,
    "scheduled": scheduled,
    "being called": being_called,
    "sent": SENT,
    "unknown": answered(Unknown("reset")),
    "retry": answered(Unavailable("refused")),
    "sent, heard of": then(SENT, AttemptState.SENT),
    "unsupported, the next one waits": answered(Unsupported("no user")),
    "expired, the next one waits": expired,
    "expired, the next one is sent": then_called(expired),
    "undeliverable, the next one waits": then(SENT, AttemptState.UNDELIVERABLE),
    "delivered": then(SENT, DELIVERED),
    "read": then(SENT, AttemptState.READ),
    "cancelled": cancelled(SENT),
    "cancelled before its call": cancelled(waiting),
}

SEEN = """
    SELECT m.state AS message, m.success_met, m.ended_at IS NULL AS goes_on, a.step, a.state, a.error,
        a.due_at IS NULL AS is_done, a.ended_at IS NULL AS is_live, a.ended_at = m.ended_at AS at_once,
        a.sent_at IS NULL AS unsent, a.delivered_at = a.ended_at AS by_delivery,
        a.read_at IS NULL AS unread, c.amount, c.sms_amount,
        ARRAY(SELECT CAST(e.state AS text) FROM cascade.events e
            WHERE e.message_id = m.id ORDER BY sequence) AS told
    FROM cascade.messages m JOIN cascade.attempts a ON a.message_id = m.id
    LEFT JOIN cascade.charges c ON c.attempt_id = a.id
    WHERE m.id = :id ORDER BY a.step
"""


@pytest.mark.parametrize("success", list(Success))
@pytest.mark.parametrize("step", [0, -1])
@pytest.mark.parametrize("life", list(LIVES))
def test_a_delivery_leaves_what_the_engine_would(
    journey: Journey, life: str, step: int, success: Success
) -> None:
    journey.policy(
        *(a_step(one, success=success) for one in (Channel.VK, Channel.OK, Channel.SMS))
    )

    with by_the_engine():
        by_engine = LIVES[life](journey)
        journey.hear_of(by_engine, DELIVERED, step=step)
        journey.collect()
    seen = journey.rows(SEEN, id=by_engine)

    by_statement = LIVES[life](journey)
    journey.hear_of(by_statement, DELIVERED, step=step)
    journey.collect()

    assert journey.rows(SEEN, id=by_statement) == seen


@pytest.mark.parametrize("life", list(LIVES))
def test_a_policy_that_asks_for_more_on_one_step_is_left_to_the_engine(
    journey: Journey, life: str
) -> None:
    journey.policy(a_step(Channel.VK), a_step(Channel.OK, success=Success.READ))
    with by_the_engine():
        by_engine = LIVES[life](journey)
        journey.hear_of(by_engine, DELIVERED, step=0)
        journey.collect()
    seen = journey.rows(SEEN, id=by_engine)
    message = LIVES[life](journey)
    journey.hear_of(message, DELIVERED, step=0)

    with counted(journey.engine) as statements:
        journey.collect()

    assert journey.rows(SEEN, id=message) == seen
    assert not any("UPDATE cascade.messages SET state = 'delivered'" in one for one in statements)


def test_a_crowd_of_deliveries_takes_as_many_statements_as_one(journey: Journey) -> None:
    def collected(count: int) -> int:
        for message in [SENT(journey) for _ in range(count)]:
            journey.hear_of(message, DELIVERED)
        with counted(journey.engine) as statements:
            assert journey.collect()["ended"] == count
        assert not any("SELECT id, CAST(message_id" in one for one in statements)
        return len(statements)

    collected(1)  # reads the policy, which is kept

    assert collected(20) == collected(1)


@pytest.mark.parametrize("is_analyzed", [True, False])
def test_it_looks_at_nothing_but_its_messages(journey: Journey, *, is_analyzed: bool) -> None:
    with journey.engine.connect() as connection:
        ids = backlog(connection)[5000:5200]
        if is_analyzed:
            connection.execute(text("ANALYZE cascade.attempts, cascade.messages"))
        found = text("SELECT message_id FROM cascade.attempts WHERE id = ANY(:ids)")
        messages = connection.execute(found, {"ids": ids}).scalars().all()
        values = {"ids": as_ids(messages), "delivered": as_ids(ids), "now": "2027-01-01T00:00Z"}
        seen = rows_read(connection, concluding._CONCLUDE_ATTEMPTS.text, values)
        connection.rollback()

    assert seen["attempts"] == 200
    assert seen["channels"] <= len(Channel)  # a small table may be read as a whole, once
