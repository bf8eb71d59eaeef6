from __future__ import annotations

import json
import uuid

import pytest

from cascade.channels.base import Accepted
from tests.cli.conftest import Run
from tests.services.journey import Journey


pytestmark = pytest.mark.integration


def test_cancelled_messages_are_named_one_a_line(journey: Journey, run: Run):
    first, second = journey.send(), journey.send()

    result = run("cancel", first, second.hex)

    assert result.exit_code == 0
    assert result.stdout == f"{first}  cancelled\n{second}  cancelled\n"
    assert [journey.message(one).state for one in (first, second)] == ["cancelled"] * 2


def test_what_had_ended_or_never_was_is_said_and_the_answer_is_no(journey: Journey, run: Run):
    ended, open_one, nobody = journey.send(), journey.send(), uuid.uuid4()
    journey.call(ended, Accepted())
    journey.deliver(ended)

    result = run("cancel", ended, nobody, open_one)

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{ended}  had ended: delivered",
        f"{nobody}  there is no such message",
        f"{open_one}  cancelled",
    ]
    assert journey.message(open_one).state == "cancelled"


def test_cancelling_again_is_no_failure(journey: Journey, run: Run):
    message_id = journey.send()
    run("cancel", message_id)

    assert run("cancel", message_id).exit_code == 0


def test_outcomes_for_machines_are_by_id(journey: Journey, run: Run):
    message_id = journey.send()

    assert json.loads(run("cancel", message_id, "--json").stdout) == {str(message_id): "cancelled"}


def test_an_id_is_required(run: Run):
    assert run("cancel").exit_code == 2
