"""One bad row in a set of 200 harms only itself, and is told; its neighbours go their way."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from cascade.channels.base import Accepted, Receipt, Result, Throttled, Unknown
from cascade.domain.state import AttemptState, Channel, Lane
from cascade.services.deliver import deliver
from cascade.services.deployment import LEASE, Deployment
from cascade.services.poll import poll
from cascade.storage.claim import Claimed, claim
from cascade.storage.database import transaction
from cascade.storage.events import claim_callbacks
from cascade.storage.sealing import Keyring
from tests.services.courier import AskableCourier, Courier, Desk, able
from tests.services.journey import WORDS, Journey, a_step


pytestmark = pytest.mark.integration

SET = 200
BAD = 77  # its place in the set

Deployed = Callable[..., Deployment]
Refuse = Callable[[str, str], None]


@pytest.fixture
def refuse(journey: Journey) -> Iterator[Refuse]:
    """Has the database refuse rows of a table for which a condition holds."""
    numbers = itertools.count()
    tables: list[str] = []

    def add(table: str, condition: str) -> None:
        name = f"poison_{next(numbers)}"
        tables.append(table)
        journey.change(
            f"ALTER TABLE cascade.{table} ADD CONSTRAINT {name} CHECK (NOT ({condition})) NOT VALID"
        )

    yield add
    for number, table in enumerate(tables):
        journey.change(f"ALTER TABLE cascade.{table} DROP CONSTRAINT poison_{number}")


@pytest.fixture
def messages(journey: Journey) -> list[uuid.UUID]:
    journey.policy(a_step(Channel.VK, ttl=60), a_step(Channel.OK))
    journey.cascade.send_many(rows(), text=WORDS)
    found = journey.rows("SELECT message_id FROM cascade.attempts ORDER BY id")
    return [row.message_id for row in found]


def rows() -> list[Any]:
    return [{"to": f"+7916{number:07}"} for number in range(SET)]


def attempt_ids(journey: Journey, messages: Sequence[uuid.UUID]) -> list[int]:
    found = journey.rows("SELECT id, message_id FROM cascade.attempts WHERE ended_at IS NULL")
    newest = {row.message_id: row.id for row in found}
    return [newest[one] for one in messages]


def states(journey: Journey, channel: Channel = Channel.VK) -> dict[str, int]:
    found = journey.rows(
        "SELECT CAST(state AS text) AS state FROM cascade.attempts WHERE channel = :channel",
        channel=channel,
    )
    return dict(Counter(row.state for row in found))


def bad_state(journey: Journey, messages: Sequence[uuid.UUID]) -> str:
    return journey.state(messages[BAD], 0)


def claimed(journey: Journey, messages: Sequence[uuid.UUID]) -> list[Claimed]:
    ids = attempt_ids(journey, messages)
    return transaction(journey.engine, lambda c: claim(c, ids, lease=LEASE))


def called(journey: Journey, messages: Sequence[uuid.UUID], result: Result) -> None:
    journey.settle(*((one, result) for one in claimed(journey, messages)))


def heard(journey: Journey) -> None:
    """That all of them were delivered."""
    refs = journey.rows("SELECT client_ref FROM cascade.attempts ORDER BY id")
    status = AttemptState.DELIVERED
    receipts = (
        Receipt(status=status, native_status="delivered", client_ref=row.client_ref)
        for row in refs
    )
    journey.hear("notify-vk", *receipts)


def with_a_policy_of_newer_code(journey: Journey, message_id: uuid.UUID) -> None:
    journey.change(
        "INSERT INTO cascade.policies (name, version, steps) VALUES"
        """ ('newer', 1, '[{"channel": "telegram", "ways": 2}]')"""
    )
    journey.change(
        "UPDATE cascade.messages SET policy_id ="
        " (SELECT id FROM cascade.policies WHERE name = 'newer') WHERE id = :id",
        id=message_id,
    )


def test_an_attempt_that_cannot_be_claimed_is_left_and_the_others_are_sent(
    journey: Journey,
    messages: list[uuid.UUID],
    desk: Desk,
    deployed: Deployed,
    refuse: Refuse,
    caplog: pytest.LogCaptureFixture,
):
    ids = attempt_ids(journey, messages)
    refuse("attempts", f"state = 'sending' AND id = {ids[BAD]}")

    counts = deliver(
        deployed(Courier(url=desk.url, capabilities=able(bulk=100))),
        Channel.VK,
        Lane.NORMAL,
        ids,
    )

    assert counts["accepted"] == SET - 1
    assert states(journey) == {"sent": SET - 1, "queued": 1}
    assert "an attempt cannot be claimed: IntegrityError" in caplog.messages


@pytest.mark.parametrize(
    ("result", "state"),
    [(Accepted(("ref",)), "sent"), (Unknown("reset"), "unknown"), (Throttled("busy"), "retry")],
    ids=["accepted", "unknown", "throttled"],
)
def test_a_result_that_cannot_be_kept_costs_no_other(
    journey: Journey,
    messages: list[uuid.UUID],
    refuse: Refuse,
    caplog: pytest.LogCaptureFixture,
    result: Result,
    state: str,
):
    ids = attempt_ids(journey, messages)
    refuse("attempts", f"state = '{state}' AND id = {ids[BAD]}")

    called(journey, messages, result)

    assert states(journey) == {state: SET - 1, "sending": 1}
    assert "the result of a call cannot be kept: IntegrityError" in caplog.messages


def test_a_message_whose_key_has_not_come_here_yet_is_tried_again(
    journey: Journey,
    messages: list[uuid.UUID],
    desk: Desk,
    deployed: Deployed,
    caplog: pytest.LogCaptureFixture,
):
    newer = Keyring({"newer": b"n" * 32}, b"h" * 32)
    sealed = newer.seal(b"+79160000077", f"recipient:{messages[BAD]}")
    journey.change(
        "UPDATE cascade.messages SET recipient = :sealed WHERE id = :id",
        sealed=sealed,
        id=messages[BAD],
    )

    deliver(
        deployed(Courier(url=desk.url, capabilities=able(bulk=100))),
        Channel.VK,
        Lane.NORMAL,
        attempt_ids(journey, messages),
    )

    assert states(journey) == {"sent": SET - 1, "retry": 1}
    assert bad_state(journey, messages) == "retry"
    assert "messages are sealed by a key that is not known here" in caplog.messages


def test_a_receipt_of_a_message_that_newer_code_wrote_waits_for_it(
    journey: Journey, messages: list[uuid.UUID]
):
    called(journey, messages, Accepted())
    with_a_policy_of_newer_code(journey, messages[BAD])
    heard(journey)

    journey.collect()

    assert states(journey) == {"delivered": SET - 1, "sent": 1}
    assert len(journey.charges()) == SET - 1
    [waiting] = journey.rows("SELECT * FROM cascade.receipts WHERE applied_at IS NULL")
    assert waiting.due_at > waiting.received_at


def test_an_expiry_of_a_message_that_newer_code_wrote_waits_for_it(
    journey: Journey, messages: list[uuid.UUID]
):
    called(journey, messages, Accepted())
    with_a_policy_of_newer_code(journey, messages[BAD])
    journey.advance(63)

    journey.tick()

    assert states(journey) == {"expired": SET - 1, "sent": 1}
    assert states(journey, Channel.OK) == {"queued": SET - 1}
    assert journey.attempt(messages[BAD]).hints == 1  # it is looked at later


def test_a_rate_that_newer_code_wrote_leaves_its_deliveries_unrated_and_no_others(
    journey: Journey, messages: list[uuid.UUID], caplog: pytest.LogCaptureFixture
):
    called(journey, messages, Accepted())
    journey.change("ALTER TABLE cascade.rates DROP CONSTRAINT rates_unit_check")
    try:
        journey.change(
            "INSERT INTO cascade.rates (account, channel, prefix, unit, price, currency,"
            " valid_from) VALUES ('notify-vk', 'vk', '+79160000077', 'kilobyte', 9, 'RUB', 'epoch')"
        )
        heard(journey)
        journey.collect()
    finally:
        with journey.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE cascade.rates DISABLE TRIGGER USER")
            connection.exec_driver_sql("DELETE FROM cascade.rates WHERE unit = 'kilobyte'")
            connection.exec_driver_sql("ALTER TABLE cascade.rates ENABLE TRIGGER USER")
            connection.exec_driver_sql(
                "ALTER TABLE cascade.rates ADD CONSTRAINT rates_unit_check"
                " CHECK (unit IN ('message', 'segment'))"
            )

    assert len(journey.charges()) == SET
    [unrated] = [one for one in journey.charges() if one.rate_id is None]
    assert unrated.attempt_id == journey.attempt(messages[BAD]).id
    assert "deliveries were booked unrated" in caplog.messages


@pytest.mark.parametrize(
    ("condition", "work"),
    [
        ("state = 'queued' AND hints > 0", "requeue"),
        ("state = 'unknown'", "leases"),
        ("state = 'sent' AND due_at = expires_at + interval '2 s'", "postpone"),
    ],
)
def test_a_row_that_the_tick_cannot_change_stops_neither_its_lane_nor_the_others(
    journey: Journey,
    messages: list[uuid.UUID],
    refuse: Refuse,
    caplog: pytest.LogCaptureFixture,
    condition: str,
    work: str,
):
    other = journey.send(priority=Lane.BULK)
    ids = attempt_ids(journey, messages)
    if work == "leases":
        claimed(journey, [*messages, other])
    if work == "postpone":
        called(journey, [*messages, other], Accepted())
    refuse("attempts", f"{condition} AND id = {ids[BAD]}")
    journey.advance(31)

    tally = journey.tick()

    assert tally["queued"] + tally["broken"] + tally["postponed"] == SET
    assert caplog.messages.count("an attempt cannot be ticked: IntegrityError") == 1
    assert journey.attempt(messages[BAD]).due_at > journey.row("SELECT cascade.clock()")[0]


def test_an_answer_to_a_poll_that_cannot_be_kept_costs_no_other(
    journey: Journey,
    messages: list[uuid.UUID],
    desk: Desk,
    deployed: Deployed,
    refuse: Refuse,
    caplog: pytest.LogCaptureFixture,
):
    called(journey, messages, Accepted())
    bad = journey.attempt(messages[BAD]).client_ref
    refuse("receipts", f"client_ref = '{bad}'")
    desk.says = lambda _line: "delivered"
    journey.advance(60.5)

    poll(deployed(AskableCourier(url=desk.url)))
    journey.collect()

    assert states(journey) == {"delivered": SET - 1, "sent": 1}
    assert "the answer to a poll cannot be kept: IntegrityError" in caplog.messages


@pytest.mark.parametrize("value", ["\x00", "\ud800", 7, None], ids=range(4))
def test_a_row_that_cannot_be_sent_is_named_and_the_others_are_accepted(
    journey: Journey, value: object
):
    journey.policy(a_step(Channel.VK))
    given: list[Any] = [{**row, "variables": {"name": "Ann"}} for row in rows()]
    given[BAD]["variables"] = {"name": value}

    report = journey.cascade.send_many(given, text="#name#, your order is ready")

    assert [error.row for error in report.errors] == [BAD + 1]
    assert report.accepted == SET - 1


def test_a_callback_that_newer_code_wrote_holds_up_no_other(
    journey: Journey, messages: list[uuid.UUID], caplog: pytest.LogCaptureFixture
):
    journey.change(
        "UPDATE cascade.messages SET on_status ="
        """ '{"broker": "shop", "task": "heard", "queue": "celery"}'"""
    )
    journey.change(
        """UPDATE cascade.messages SET on_status = '{"pigeon": 1}' WHERE id = :id""",
        id=messages[BAD],
    )
    called(journey, messages, Accepted())
    heard(journey)
    journey.collect()

    callbacks = transaction(
        journey.engine, lambda c: claim_callbacks(c, 2 * SET, lease=dt.timedelta(seconds=60))
    )

    assert len(callbacks) == SET - 1
    assert caplog.messages == ["a callback cannot be read"]
