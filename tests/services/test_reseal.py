from __future__ import annotations

import dataclasses

from collections import Counter
from collections.abc import Callable

import pytest

from sqlalchemy import text

from cascade.domain.state import AttemptState
from cascade.services.deployment import Ledger
from cascade.services.reseal import Rotation, reseal
from cascade.services.sealed import open_content, open_recipient
from cascade.storage.reseal import key_id_of
from cascade.storage.sealing import Keyring
from tests.services.journey import PHONE, WORDS, Journey


pytestmark = pytest.mark.integration

OLD, NEW = b"k" * 32, b"n" * 32
BOTH = Keyring({"new": NEW, "test": OLD}, b"h" * 32)
NEW_ALONE = Keyring({"new": NEW}, b"h" * 32)


def rotate(
    ledger: Ledger, *, keyring: Keyring = BOTH, progress: Callable[[Rotation], None] | None = None
) -> Rotation:
    return reseal(ledger.engine, keyring, "new", progress or (lambda _: None), size=2)


def key_ids(journey: Journey) -> Counter[str]:
    """Under which keys the values in the database are."""
    values = journey.rows("""
        SELECT recipient AS value FROM cascade.messages
        UNION ALL SELECT content FROM cascade.messages
        UNION ALL SELECT raw FROM cascade.receipts
    """)
    return Counter(key_id_of(bytes(row.value)) for row in values)


def test_everything_opens_by_the_new_key_alone(journey: Journey):
    ids = [journey.send() for _ in range(5)]
    for one in ids[:3]:
        journey.hear_of(one, AttemptState.SENT)

    done = rotate(journey.ledger)

    assert done.resealed == {"messages": 5, "receipts": 3}
    assert done.doubts(waiting_requests=0) == []
    assert key_ids(journey) == {"new": 13}
    for one in ids:
        message = journey.message(one)
        assert open_recipient(NEW_ALONE, one, bytes(message.recipient)) == PHONE
        assert open_content(NEW_ALONE, one, bytes(message.content)).text == WORDS
    for row in journey.rows("SELECT * FROM cascade.receipts"):
        assert NEW_ALONE.open(bytes(row.raw), f"receipt:{row.account}") in (b"{}", b"")


def test_the_service_goes_on_with_the_new_key_alone(journey: Journey):
    message = journey.send(key="order-1")
    rotate(journey.ledger)

    after = Journey(dataclasses.replace(journey.ledger, keyring=NEW_ALONE), journey.advance)
    assert after.send(key="order-1") == message
    after.deliver(message)
    assert after.message(message).state == "delivered"
    assert len(after.charges()) == 1


def test_a_second_run_changes_nothing(journey: Journey):
    journey.send()
    rotate(journey.ledger)
    before = journey.rows("SELECT id, recipient, content FROM cascade.messages")

    done = rotate(journey.ledger)
    assert done.resealed.total() == 0
    assert journey.rows("SELECT id, recipient, content FROM cascade.messages") == before


def test_a_run_that_was_cut_off_is_finished_by_the_next(journey: Journey):
    for _ in range(5):
        journey.send()

    def cut_off(_done: Rotation) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate(journey.ledger, progress=cut_off)
    assert key_ids(journey) == {"new": 4, "test": 6}

    done = rotate(journey.ledger)
    assert done.resealed["messages"] == 3
    assert key_ids(journey) == {"new": 10}


def test_rows_that_somebody_holds_hold_up_nobody_and_are_told(journey: Journey):
    held, *_ = [journey.send() for _ in range(3)]

    with journey.engine.connect() as other:
        other.execute(text("SELECT FROM cascade.messages WHERE id = :id FOR UPDATE"), {"id": held})
        done = rotate(journey.ledger)
        assert done.resealed["messages"] == 2
        assert "1 rows were new under an old key, or held" in done.doubts(waiting_requests=0)[0]

    assert rotate(journey.ledger).doubts(waiting_requests=0) == []


def test_what_an_app_still_seals_by_the_old_key_meanwhile_is_met(journey: Journey):
    journey.send()
    looks: list[int] = []

    def send_late(done: Rotation) -> None:
        looks.append(done.round)
        if len(looks) == 3:  # two of messages, the first of receipts: the messages are through
            journey.send()

    done = rotate(journey.ledger, progress=send_late)
    assert set(looks) == {1, 2, 3}
    assert done.resealed["messages"] == 2
    assert key_ids(journey) == {"new": 4}


def test_a_row_of_a_lost_key_is_left_and_named_and_its_neighbours_go_on(journey: Journey):
    stranger = dataclasses.replace(
        journey.ledger, keyring=Keyring({"k20261122": b"l" * 32}, b"h" * 32)
    )
    Journey(stranger, journey.advance).send()
    journey.send()

    done = rotate(journey.ledger)

    assert done.resealed["messages"] == 1
    assert key_ids(journey) == {"k20261122": 2, "new": 2}
    [doubt] = done.doubts(waiting_requests=0)
    assert "'k20261122'" in doubt


def test_a_value_that_was_altered_is_not_written_over(journey: Journey):
    message = journey.send()
    altered = bytes(journey.message(message).recipient)[:-1] + b"x"
    journey.change("UPDATE cascade.messages SET recipient = :value", value=altered)

    done = rotate(journey.ledger)
    assert done.closed == {"test": 1}
    assert bytes(journey.message(message).recipient) == altered


@pytest.mark.parametrize(("waiting", "words"), [(3, "3 requests wait"), (None, "was not asked")])
def test_requests_in_the_broker_keep_the_old_key_in_use(waiting: int | None, words: str):
    [doubt] = Rotation(round=1).doubts(waiting_requests=waiting)

    assert words in doubt
