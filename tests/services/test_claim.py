from __future__ import annotations

import datetime as dt
import json

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sqlalchemy import text

from cascade.channels.base import Accepted, Unavailable, Unsupported
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState, Channel
from cascade.services.deployment import LEASE
from cascade.services.sealed import open_recipient
from cascade.storage import claim as claiming
from cascade.storage.claim import claim
from cascade.storage.database import transaction
from cascade.storage.rows import as_ids
from tests.services.backlog import backlog, nodes
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=1.5)


def seconds_from_now(journey: Journey, moment: dt.datetime) -> float:
    now = journey.row("SELECT cascade.clock()")[0]
    return float((moment - now).total_seconds())


def test_a_claim_commits_the_intent_with_its_lease_before_anything_is_called(journey: Journey):
    message_id = journey.send()

    [claimed] = journey.claim(message_id)

    attempt = journey.attempt(message_id)
    assert (attempt.state, attempt.tries, claimed.tries) == ("sending", 1, 1)
    assert attempt.due_at <= attempt.lease_until  # the tick looks no later than that
    assert seconds_from_now(journey, attempt.lease_until) == about(LEASE)
    assert claimed.client_ref == attempt.client_ref
    assert open_recipient(journey.ledger.keyring, message_id, claimed.recipient) == PHONE


def test_eight_claimers_at_once_get_each_attempt_once(journey: Journey, hints: list[Hint]):
    journey.cascade.send_many([{"to": PHONE}] * 300, text=WORDS)
    ids = [hint.attempt_id for hint in hints]

    def take(number: int) -> list[int]:
        mine = ids if number % 2 else ids[::-1]
        claimed = []
        for start in range(0, len(mine), 50):
            part = mine[start : start + 50]
            claimed += transaction(journey.engine, lambda c: claim(c, part, lease=LEASE))  # noqa: B023  # run at once
        return [one.attempt_id for one in claimed]

    with ThreadPoolExecutor(8) as pool:
        taken = [one for done in pool.map(take, range(8)) for one in done]

    assert sorted(taken) == sorted(ids)


def test_a_claimed_attempt_is_passed_by(journey: Journey):
    message_id = journey.send()
    journey.claim(message_id)

    assert journey.claim(message_id) == []


def test_an_attempt_that_another_transaction_holds_is_passed_by_without_waiting(journey: Journey):
    held, free = journey.send(), journey.send()

    with journey.engine.begin() as holder:
        holder.execute(
            text("SELECT FROM cascade.attempts WHERE message_id = :id FOR UPDATE"), {"id": held}
        )
        claimed = journey.claim(held, free)
    assert [one.message_id for one in claimed] == [str(free)]


def test_a_cancelled_message_is_never_sent(journey: Journey):
    message_id = journey.send()
    journey.cascade.cancel(message_id)

    assert journey.claim(message_id) == []


def test_a_message_that_is_over_is_never_sent_whatever_its_attempt_says(journey: Journey):
    """A claim re-checks the message, in case a row of its attempt was left behind."""
    message_id = journey.send()
    journey.change(
        "UPDATE cascade.messages SET state = 'cancelled', ended_at = cascade.clock()"
        " WHERE id = :id",
        id=message_id,
    )

    assert journey.claim(message_id) == []


def test_an_attempt_whose_waiting_is_over_is_left_to_the_tick(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=60, max_wait=30))
    message_id = journey.send()

    journey.advance(31)
    assert journey.claim(message_id) == []


def test_an_attempt_too_near_to_the_deadline_for_its_provider_is_passed_by(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=60, ttl_minimum=15))
    deadline = journey.row("SELECT cascade.clock() + interval '60 seconds'")[0]
    in_time, too_late = journey.send(deadline=deadline), journey.send(deadline=deadline)

    journey.advance(40)
    assert len(journey.claim(in_time)) == 1
    journey.advance(6)
    assert journey.claim(too_late) == []


def test_the_ttl_starts_with_the_first_sending_and_not_with_the_queue(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=60))
    message_id = journey.send()
    journey.advance(3600)

    [claimed] = journey.claim(message_id)

    assert claimed.seconds_left == about(60)
    assert seconds_from_now(journey, journey.attempt(message_id).expires_at) == about(60)


def test_the_ttl_ends_at_the_messages_deadline_at_the_latest(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=60))
    deadline = journey.row("SELECT cascade.clock() + interval '20 seconds'")[0]

    [claimed] = journey.claim(journey.send(deadline=deadline))

    assert claimed.seconds_left == about(20)


def test_a_retry_does_not_start_the_ttl_again(journey: Journey):
    journey.policy(a_step(Channel.VK, ttl=60))
    message_id = journey.send()
    journey.call(message_id, Unavailable("refused"))
    first = journey.attempt(message_id)

    journey.advance(20)
    journey.tick()
    [claimed] = journey.claim(message_id)

    again = journey.attempt(message_id)
    assert (again.started_at, again.expires_at) == (first.started_at, first.expires_at)
    assert claimed.seconds_left == about(40)
    assert claimed.tries == 2


def test_every_attempt_has_a_reference_of_its_own(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Unsupported("no user"))

    refs = [attempt.client_ref for attempt in journey.attempts(message_id)]
    assert len(set(refs)) == 2
    assert all(len(ref) == 32 for ref in refs)


def test_no_claim_follows_a_delivery(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.deliver(message_id)

    assert journey.claim(message_id) == []
    assert journey.state(message_id) == AttemptState.DELIVERED


def test_a_claim_by_ids_never_looks_through_the_backlog(journey: Journey):
    with journey.engine.connect() as connection:
        ids = backlog(connection)
        statement = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {claiming._CLAIM.text}")
        plan = connection.execute(
            statement, {"ids": as_ids(ids[5000:5200]), "lease": LEASE}
        ).scalar_one()
        connection.rollback()

    found = nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])
    scans = [node for node in found if node.get("Relation Name") in {"attempts", "messages"}]
    seen = [
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in scans
    ]
    assert {node.get("Index Name") for node in found}.isdisjoint({"attempts_due_idx"})
    assert scans
    assert max(seen) <= 400
