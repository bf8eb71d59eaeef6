from __future__ import annotations

import json
import uuid

import pytest

from cascade.channels.base import Accepted, Unsupported
from tests.cli.conftest import Run
from tests.services.journey import PHONE, WORDS, Journey


pytestmark = pytest.mark.integration


def test_a_status_is_a_heading_and_a_line_for_each_attempt(journey: Journey, run: Run):
    message_id = journey.send(sender="shop", priority="urgent")
    journey.call(message_id, Unsupported("no-user"))
    journey.call(message_id, Accepted())
    journey.deliver(message_id)

    shown = run("status", message_id).stdout

    heading, _, table = shown.partition("\n\n")
    assert f"message     {message_id}\nstate       delivered, 20" in heading
    assert "sender      shop, urgent" in heading
    assert "cost        0.30 RUB" in heading
    names, first, second = table.splitlines()
    assert names.split()[:5] == ["step", "channel", "account", "state", "why"]
    assert first.split()[:6] == ["1", "vk", "notify-vk", "unsupported", "no-user", "1"]
    assert first.split()[-2:] == ["–", "–"]
    assert second.split()[:6] == ["2", "ok", "notify-ok", "delivered", "–", "1"]
    assert second.split()[-2:] == ["0.30", "RUB"]


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
