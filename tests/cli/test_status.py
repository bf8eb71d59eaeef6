from __future__ import annotations

import io
import json
import re
import uuid

import pytest

from rich.console import Console

from cascade.channels.base import Accepted, Rejected, Unsupported
from cascade.cli.status import attempts
from cascade.domain.state import AttemptState, Channel
from tests.cli.conftest import Run
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration


def test_a_status_is_a_heading_and_a_line_for_each_attempt(journey: Journey, run: Run):
    message_id = journey.send(sender="shop", priority="urgent")
    journey.call(message_id, Unsupported("no-user"))
    journey.call(message_id, Accepted())
    journey.deliver(message_id)

    shown = run("status", message_id).stdout

    heading, _, table = shown.partition("\n\n")
    assert f"message     {message_id}\nstate       delivered, 20" in heading
    assert "sender      shop\npriority    urgent\n" in heading
    assert "cost        0.30 RUB" in heading
    names, first, second = table.splitlines()
    assert names.split()[:5] == ["step", "channel", "account", "state", "why"]
    assert first.split()[:6] == ["1", "vk", "notify-vk", "unsupported", "no-user", "1"]
    assert re.fullmatch(r"\+[0-9.]+ s – –", " ".join(first.split()[6:]))
    assert second.split()[:6] == ["2", "ok", "notify-ok", "delivered", "–", "1"]
    assert re.fullmatch(r"\+[0-9.]+ s \+[0-9.]+ s 0\.30 RUB", " ".join(second.split()[6:]))


@pytest.mark.parametrize(
    ("columns", "left_out"), [(120, set()), (100, {"account"}), (80, {"account", "delivered"})]
)
def test_an_attempt_is_one_line_on_a_narrow_terminal_too(
    journey: Journey, columns: int, left_out: set[str]
):
    journey.policy(a_step(Channel.WHATSAPP), a_step(Channel.SMS))
    message_id = journey.send()
    journey.advance(310)
    journey.call(message_id, Rejected("INCORRECT_SIGNATURE"))
    journey.call(message_id, Accepted(("4711",)))
    journey.deliver(message_id)

    terminal = Console(width=columns, file=io.StringIO())
    terminal.print(attempts(journey.cascade.status(message_id), terminal))

    assert isinstance(terminal.file, io.StringIO)
    table = terminal.file.getvalue().rstrip().splitlines()
    assert len(table) == 3
    assert max(map(len, table)) <= columns
    assert {"account", "delivered"} - set(table[0].split()) == left_out
    assert "INCORRECT_SIGNATURE" in table[1]


def test_steps_are_counted_from_one_for_machines_as_for_people(journey: Journey, run: Run):
    message_id = journey.send()
    journey.call(message_id, Unsupported("no-user"))

    found = json.loads(run("status", message_id, "--json").stdout)

    assert [one["step"] for one in found["attempts"]] == [1, 2]
    assert [one.step for one in journey.cascade.status(message_id).attempts] == [0, 1]


def test_status_and_trace_name_the_same_time_of_a_delivery(journey: Journey, run: Run):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.hear_of(message_id, AttemptState.DELIVERED)
    journey.advance(5)
    journey.collect()

    row = run("status", message_id).stdout.splitlines()[-1]

    after = " ".join(row.split()[-4:-2])
    assert f"delivered over vk after {after.removeprefix('+')};" in run("trace", message_id).stdout


def test_a_status_for_machines_holds_attempts_receipts_and_the_cost(journey: Journey, run: Run):
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.deliver(message_id)

    document = json.loads(run("status", message_id, "--json").stdout)

    assert document["id"] == str(message_id)
    assert (document["state"], document["cost"]) == ("delivered", {"RUB": "0.300000"})
    [attempt] = document["attempts"]
    assert (attempt["success"], attempt["ttl"], attempt["units"]) == ("delivered", 15, 1)
    assert [one["native_status"] for one in attempt["receipts"]] == ["delivered"]


def test_neither_the_number_nor_the_words_are_shown(journey: Journey, run: Run):
    message_id = journey.send()

    shown = run("status", message_id).stdout + run("status", message_id, "--json").stdout

    assert PHONE[2:] not in shown
    assert WORDS not in shown


def test_an_unknown_id_is_a_refused_value(journey: Journey, run: Run):
    result = run("status", uuid.uuid4())

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("cascade: message_id: no message has it")
