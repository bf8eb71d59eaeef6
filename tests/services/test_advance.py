from __future__ import annotations

from dataclasses import replace

import pytest

from sqlalchemy.exc import OperationalError

from cascade.channels.base import Accepted
from cascade.domain import engine
from cascade.domain.engine import Word
from cascade.domain.state import AttemptState
from cascade.services.advance import advance_all, hearing
from cascade.storage.database import connect
from tests.services.journey import PHONE, Journey


pytestmark = pytest.mark.integration


def boom(_cascade, _now):
    raise ZeroDivisionError


def test_a_set_is_halved_down_to_its_culprit_and_the_others_advance(
    journey: Journey, caplog: pytest.LogCaptureFixture
):
    messages = [journey.send() for _ in range(9)]
    culprit = messages[4]
    events = {one: [boom if one == culprit else engine.cancel] for one in messages}

    advanced = advance_all(journey.ledger, events)

    assert advanced.ended == 8
    states = {one: journey.message(one).state for one in messages}
    assert states.pop(culprit) == "in_progress"
    assert set(states.values()) == {"cancelled"}
    [record] = caplog.records
    assert vars(record)["message_id"] == culprit
    assert PHONE not in caplog.text


def test_halving_adds_up_what_its_parts_have_done(journey: Journey):
    messages = [journey.send() for _ in range(5)]
    for one in messages:
        journey.call(one, Accepted())
    events = {
        one: [hearing(Word(attempt_id=journey.attempt(one).id, state=AttemptState.REJECTED))]
        for one in messages
    }
    events[messages[0]] = [boom]

    advanced = advance_all(journey.ledger, events)

    assert len(advanced.hints) == 4
    assert [len(journey.attempts(one)) for one in messages] == [1, 2, 2, 2, 2]


def test_events_of_one_message_follow_each_other_in_one_transaction(journey: Journey):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    attempt_id = journey.attempt(message_id).id
    words = [
        hearing(Word(attempt_id=attempt_id, state=state))
        for state in (AttemptState.REJECTED, AttemptState.DELIVERED)
    ]

    advanced = advance_all(journey.ledger, {message_id: words})

    assert (advanced.delivered, advanced.ended) == (1, 1)
    # The step that the first word opened was never written: the second took it back.
    assert [one.state for one in journey.attempts(message_id)] == ["delivered", "cancelled"]
    assert journey.claim(message_id) == []


def test_the_databases_own_troubles_are_raised_and_not_blamed_on_a_row(
    journey: Journey, caplog: pytest.LogCaptureFixture
):
    message_id = journey.send()
    gone = replace(journey.ledger, engine=connect("postgresql+psycopg2://nobody@127.0.0.1:1/none"))

    with pytest.raises(OperationalError):
        advance_all(gone, {message_id: [engine.cancel]}, patience=0.1)
    assert "cannot be advanced" not in caplog.text
