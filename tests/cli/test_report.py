from __future__ import annotations

import csv
import io
import json
import re
import sys

from pathlib import Path

import pytest

from cascade.channels.base import Accepted, Rejected
from cascade.cli.funnel import grouped
from cascade.domain.state import AttemptState, Channel
from tests.cli.conftest import Run
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration


@pytest.fixture
def campaign(journey: Journey) -> Journey:
    """Four messages: one not a user, two delivered by Viber, of which one was read, one by SMS."""
    journey.policy(a_step(Channel.VIBER), a_step(Channel.SMS))
    for sender in ("shop", "shop", "bank", "bank"):
        journey.call(journey.send(sender=sender), Accepted())
    first, second, third, fourth = (
        row.id for row in journey.rows("SELECT id FROM cascade.messages ORDER BY created_at, id")
    )
    journey.deliver(first)
    journey.hear_of(second, AttemptState.READ)
    for one in (third, fourth):
        journey.hear_of(one, AttemptState.UNDELIVERABLE)
    journey.collect()
    journey.call(third, Accepted())
    journey.deliver(third)
    journey.call(fourth, Rejected("2"))
    return journey


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_json_holds_every_rate_with_its_base_and_money_as_strings(campaign: Journey, run: Run):
    said = json.loads(run("report", "--json", "--timezone", "Europe/Moscow").stdout)

    assert said["timezone"] == "Europe/Moscow"
    assert said["groups"] == []
    total = said["total"]
    assert (total["accepted"], total["delivered"], total["undelivered"]) == (4, 3, 1)
    assert total["reach"] == {"part": 3, "whole": 4, "ratio": "0.7500"}
    assert total["seconds_to_deliver"]["of"] == 3
    assert total["money"]["RUB"] == {
        "charges": 3,
        "cost": "4.400000",
        "compared": 3,
        "compared_cost": "4.400000",
        "sms_cost": "6.000000",
        "saved": {"part": "1.600000", "whole": "6.000000", "ratio": "0.2667"},
        "corrections": "0",
    }
    viber, sms = total["channels"]
    assert (viber["channel"], viber["called"], viber["delivered"], viber["read"]) == (
        "viber",
        4,
        2,
        1,
    )
    assert viber["delivered_of_called"] == {"part": 2, "whole": 4, "ratio": "0.5000"}
    assert sms["share"] == {"part": 1, "whole": 3, "ratio": "0.3333"}


def test_json_names_what_its_groups_have_in_common(campaign: Journey, run: Run):
    said = json.loads(run("report", "--json", "--by", "sender,day").stdout)

    assert said["by"] == ["day", "sender"]
    senders = [(one["sender"], one["accepted"]) for one in said["groups"]]
    assert senders == [("bank", 2), ("shop", 2)]
    assert all("policy" not in one and len(one["day"]) == 10 for one in said["groups"])


def test_csv_has_a_row_for_each_group(campaign: Journey, run: Run):
    found = rows(run("report", "--by", "sender", "--csv", "-").stdout)

    assert [(one["sender"], one["accepted"], one["reached"], one["reach"]) for one in found] == [
        ("bank", "2", "1", "0.5000"),
        ("shop", "2", "2", "1.0000"),
    ]
    assert [one["cost_RUB"] for one in found] == ["2.000000", "2.400000"]


def test_csv_by_channel_has_a_row_for_each_channel_of_a_group(
    campaign: Journey, run: Run, tmp_path: Path
):
    path = tmp_path / "report.csv"
    run("report", "--by", "channel,sender", "--csv", path)

    found = rows(path.read_text("utf-8"))

    assert [(one["sender"], one["channel"], one["called"], one["delivered"]) for one in found] == [
        ("bank", "viber", "2", "0"),
        ("bank", "sms", "2", "1"),
        ("shop", "viber", "2", "2"),
    ]
    assert found[0]["seconds_p50"] == ""
    assert found[2]["saved_RUB"] == "1.600000"


def correct(journey: Journey, amount: str) -> None:
    """Corrects one charge, as a repair does."""
    journey.change(
        "WITH run AS (INSERT INTO cascade.reconciliations (is_nightly, since, until, lines, found)"
        " VALUES (false, 'epoch', 'epoch', 0, '{}') RETURNING id)"
        " INSERT INTO cascade.corrections (reconciliation_id, attempt_id, reason, amount, currency)"
        " SELECT run.id, min(c.attempt_id), 'price_differs', CAST(:amount AS numeric), 'RUB'"
        " FROM run CROSS JOIN cascade.charges c GROUP BY run.id",
        amount=amount,
    )


@pytest.mark.parametrize("money_by", ["accepted", "booked"])
def test_corrections_stand_beside_the_charges_and_are_added_up(
    campaign: Journey, run: Run, money_by: str
):
    correct(campaign, "0.11")
    correct(campaign, "-0.01")

    told = run("report", "--money-by", money_by)
    [row] = rows(run("report", "--money-by", money_by, "--csv", "-").stdout)
    assert "0.10 RUB: 4.50 RUB in all" in told.stdout
    assert (row["cost_RUB"], row["corrections_RUB"]) == ("4.400000", "0.100000")


def test_csv_without_groups_has_one_row(campaign: Journey, run: Run):
    [row] = rows(run("report", "--csv", "-").stdout)

    assert (row["accepted"], row["reach"], row["saved_share_RUB"]) == ("4", "0.7500", "0.2667")


def test_csv_of_a_period_without_messages_says_zero(run: Run, journey: Journey):
    [row] = rows(run("report", "--csv", "-").stdout)

    assert (row["accepted"], row["reach"], row["unrated"]) == ("0", "", "0")


def test_a_person_reads_sentences_bars_and_numbers_with_their_base(campaign: Journey, run: Run):
    said = run("report", "--by", "sender").stdout.replace("\N{NO-BREAK SPACE}", " ")

    assert "4 accepted: 3 delivered, 1 undelivered" in said
    assert "3, 75.0 % of accepted" in said
    assert "1.60 RUB, 26.7 % of the 6.00 RUB for SMS alone" in said
    [bar] = [line for line in said.splitlines() if "2 (50.0 % of called)" in line]
    assert bar.count("█") == 15
    assert "bank" in said
    assert re.search("unusual +rejected, which is ours to mend: sms 1 of 2 called", said)


def test_where_all_is_as_usual_it_is_said(campaign: Journey, run: Run):
    assert re.search("unusual +nothing", run("report", "--sender", "shop").stdout)


def test_thousands_are_parted_as_in_every_command():
    assert grouped(1048576) == "1,048,576"


def test_groups_by_channel_alone_are_shown(campaign: Journey, run: Run):
    said = run("report", "--by", "channel").stdout.replace("\N{NO-BREAK SPACE}", " ")

    heading, viber, sms = said.splitlines()[-3:]
    assert heading.split()[:3] == ["channel", "called", "delivered"]
    assert viber.split()[:5] == ["viber", "4", "2", "50.0", "%"]
    assert sms.split()[:5] == ["sms", "2", "1", "50.0", "%"]


@pytest.mark.parametrize(
    "option", [("--sender", "nobody"), ("--until", "2020-01-01", "--by", "channel")]
)
def test_a_report_of_nothing_says_so_and_no_share_of_it(
    campaign: Journey, run: Run, option: tuple[str, ...]
):
    result = run("report", *option)

    assert result.exit_code == 0
    _title, words = result.stdout.splitlines()
    assert re.fullmatch("messages +no message matches *", words)


def test_files_that_were_written_are_named_beside_the_report(
    campaign: Journey, run: Run, tmp_path: Path
):
    picture, table = tmp_path / "funnel.svg", tmp_path / "report.csv"

    result = run("report", "--picture", picture, "--csv", table, "--json")

    assert result.stderr.splitlines() == [f"written: {table}", f"drawn: {picture}"]
    assert json.loads(result.stdout)["total"]["accepted"] == 4
    assert run("report", "--csv", "-").stderr == ""


def test_what_is_unusual_is_said(campaign: Journey, run: Run):
    campaign.policy(a_step(Channel.VIBER))
    abroad = campaign.send(to="+4915112345678")
    campaign.call(abroad, Accepted())
    campaign.deliver(abroad)

    said = run("report").stdout

    assert "deliveries without a rate: 1" in said


def test_what_expired_in_the_queue_is_told_apart(campaign: Journey, run: Run):
    campaign.policy(a_step(Channel.VIBER, max_wait=20))
    campaign.send()
    campaign.policy(a_step(Channel.VIBER))
    campaign.call(campaign.send(), Accepted())
    campaign.advance(62)
    campaign.tick()

    said = run("report").stdout
    [row] = rows(run("report", "--by", "channel", "--csv", "-").stdout)[:1]

    assert re.search(r"\n  expired +2 +0 *\n    in the queue +1 +0 *\n", said)
    assert (row["expired"], row["in_queue"]) == ("2", "1")


def test_only_what_was_asked_for_is_reported(campaign: Journey, run: Run):
    one = json.loads(run("report", "--json", "--sender", "shop", "--policy", "default").stdout)
    none = json.loads(run("report", "--json", "--until", "2020-01-01").stdout)

    assert one["total"]["accepted"] == 2
    assert none["total"]["accepted"] == 0


def test_booked_money_is_that_of_the_period(campaign: Journey, run: Run):
    campaign.change("UPDATE cascade.charges SET booked_at = '2026-03-15 12:00+00'")
    march = ("--since", "2026-03-01", "--until", "2026-04-01", "--json")

    booked = json.loads(run("report", "--money-by", "booked", *march).stdout)
    accepted = json.loads(run("report", *march).stdout)

    assert booked["total"]["money"]["RUB"]["cost"] == "4.400000"
    assert accepted["total"]["money"] == {}


@pytest.mark.parametrize(
    ("name", "begins"), [("funnel.png", b"\x89PNG"), ("funnel.svg", b"<?xml")]
)
def test_the_funnel_is_drawn_with_its_numbers(
    campaign: Journey, run: Run, tmp_path: Path, name: str, begins: bytes
):
    path = tmp_path / name
    result = run("report", "--picture", path)

    assert result.exit_code == 0, result.output
    drawn = path.read_bytes()
    assert drawn.startswith(begins)
    if name.endswith("svg"):
        words = drawn.decode().replace("\N{NO-BREAK SPACE}", " ")
        assert "delivered 2 (50.0 % of called)" in words
        assert "read 1 (50.0 % of delivered)" in words


def test_a_picture_of_nothing_can_be_drawn(journey: Journey, run: Run, tmp_path: Path):
    assert run("report", "--picture", tmp_path / "funnel.svg").exit_code == 0


def test_without_matplotlib_one_reads_how_to_install_it(
    journey: Journey, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    result = run("report", "--picture", tmp_path / "funnel.svg")

    assert result.exit_code == 3
    assert "pip install 'cascade-delivery[pictures]'" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--by", "colour"), "use some of day,sender,policy,channel"),
        (("--since", "2026-01-01T12:00"), "--since: it has no offset"),
        (("--timezone", "Mars/Olympus"), "--timezone: no such time zone"),
        (("--picture", "funnel.gif"), "--picture: no such kind of picture"),
        (("--picture", "/nowhere/funnel.png"), "--picture: it cannot be written"),
        (("--json", "--csv", "-"), "would both write to the standard output"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    journey: Journey, run: Run, arguments: tuple[str, ...], words: str
):
    result = run("report", *arguments)

    assert result.exit_code == 2
    assert words in result.stderr


def test_no_number_and_no_text_of_a_message_is_told(campaign: Journey, run: Run):
    said = (
        run("report", "--by", "day,sender,policy,channel").output + run("report", "--json").output
    )

    assert PHONE[2:] not in said
    assert WORDS not in said
