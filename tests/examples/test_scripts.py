"""The scripts do what they say."""

from __future__ import annotations

import csv
import re

from pathlib import Path
from subprocess import Popen

import pytest

from demo.environment import ROOT
from tests.examples.running import Examples


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def test_one_message_passes_four_channels_and_its_script_says_what_each_said(
    examples: Examples,
) -> None:
    accepted, *steps, summary = examples.run("examples/send_one.py +79161244441")
    assert [step.split()[:2] for step in steps] == [
        ["vk", "unsupported"],
        ["ok", "unsupported"],
        ["viber", "unsupported"],
        ["whatsapp", "unsupported"],
        ["sms", "delivered"],
    ]
    [(amount,)] = examples.rows(
        "SELECT amount FROM cascade.charges c JOIN cascade.attempts a ON a.id = c.attempt_id"
        " WHERE a.message_id = :id",
        id=accepted.removeprefix("accepted as "),
    )
    assert re.fullmatch(rf"delivered by sms in \S+ s for {amount:.2f} RUB", summary)


@pytest.mark.parametrize(
    ("phone", "channels"), [("+79161211111", "viber"), ("+79161211511", "sms, after viber")]
)
def test_a_code_goes_out_once_in_the_urgent_lane_and_is_never_printed(
    examples: Examples, phone: str, channels: str
) -> None:
    repeated, outcome = examples.run(f"examples/one_time_code.py {phone}")
    assert repeated == "asked twice, accepted once"
    assert re.fullmatch(rf"delivered by {channels} in \d+\.\d s", outcome)
    [newest] = examples.rows(
        "SELECT lane, deadline - created_at AS left FROM cascade.messages"
        " ORDER BY created_at DESC LIMIT 1"
    )
    assert newest.lane == "urgent"
    assert newest.left.total_seconds() <= 60


def test_a_campaign_ends_with_its_funnel_and_a_list_of_the_rows_that_were_refused(
    examples: Examples, campaign: Popen[str], refused: Path
) -> None:
    start, progress, *funnel, cost = examples.end(campaign)
    assert progress == "8 accepted, 0 of them before; 2 refused"
    assert funnel == [
        "accepted 8 -> delivered 7 -> read 5",
        "  vk     tried 8, succeeded 4",
        "  viber  tried 4, succeeded 1",  # delivered in VK before, and not read there
        "  sms    tried 3, succeeded 2",
    ]
    [(total,)] = examples.rows(
        "SELECT sum(c.amount) FROM cascade.charges c JOIN cascade.attempts a ON a.id = c.attempt_id"
        " JOIN cascade.messages m ON m.id = a.message_id WHERE m.sender = 'campaign'"
    )
    assert cost == f"cost {total:.2f} RUB"
    with refused.open(encoding="utf-8", newline="") as lines:
        assert [(row["row"], row["field"]) for row in csv.DictReader(lines)] == [
            ("4", "to"),
            ("9", "language"),
        ]
    again = examples.run(f"examples/campaign.py examples/campaign.csv --errors {refused} {start}")
    assert again == [start, "8 accepted, 8 of them before; 2 refused", *funnel, cost]
    written = "\n".join(again) + refused.read_text("utf-8")
    with (ROOT / "examples" / "campaign.csv").open(encoding="utf-8", newline="") as lines:
        assert [row["to"] for row in csv.DictReader(lines) if row["to"] in written] == []
