from __future__ import annotations

import json
import shutil

from pathlib import Path

import pytest

from tests.conftest import CONFIG
from tests.services.journey import Journey


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


def keep(path: Path, wanted: str) -> None:
    """Leaves only the rows without these words."""
    rows = [line for line in path.read_text().splitlines() if wanted not in line]
    path.write_text("\n".join(rows) + "\n")


def test_sound_rates_end_with_0_and_overlaps_are_told(run):
    result = run("rates", "check", CONFIG)

    assert result.exit_code == 0, result.output
    assert "37 rates, no problem" in result.stdout
    [note] = [line for line in result.stdout.splitlines() if "+77" in line]
    assert note == (
        "note     rates.csv: the longest prefix counts, which is how a country gets its own price:"
        " +77 within +7 (5 accounts)"
    )


def test_overlaps_are_told_in_one_line_however_many(run, config: Path):
    with (config / "rates.csv").open("a") as rates:
        for digits in range(70, 76):
            rates.write(f"smsc,sms,+{digits}1,segment,2.00,RUB,2026-01-01T00:00:00Z\n")

    result = run("rates", "check", config, "--json")

    [note] = json.loads(result.stdout)["notes"]
    assert note.endswith("; and 4 more")


def test_an_account_without_a_rate_is_named_with_the_steps_that_need_it(run, config: Path):
    keep(config / "rates.csv", "smsc,sms,+7,")

    result = run("rates", "check", config)
    assert result.exit_code == 3
    [line] = [one for one in result.stdout.splitlines() if one.startswith("problem")]
    assert "sms by smsc ('default' step 5, 'patient' step 4, 'code' step 2) has no rate" in line
    assert "add a row such as smsc,sms,+7,segment,<price>,RUB,2" in line


def test_a_rate_that_is_still_to_come_is_not_in_force(run, config: Path):
    keep(config / "rates.csv", "smsc,sms,+7,")
    with (config / "rates.csv").open("a") as rates:
        rates.write("smsc,sms,+7,segment,2.00,RUB,2999-01-01T00:00:00Z\n")

    assert run("rates", "check", config).exit_code == 3


def test_a_row_that_cannot_be_read_is_named_by_its_line(run, config: Path):
    with (config / "rates.csv").open("a") as rates:
        rates.write("smsc,sms,+7,segment,cheap,RUB,2999-01-01T00:00:00Z\n")

    result = run("rates", "check", config, "--json")
    assert result.exit_code == 3
    assert "line 39, price" in json.loads(result.stdout)["problems"][0]


def test_rates_of_nobody_and_of_another_unit_are_noted(run, config: Path):
    with (config / "rates.csv").open("a") as rates:
        rates.write("gone,sms,+7,segment,2.00,RUB,2026-01-01T00:00:00Z\n")
        rates.write("smsc,sms,+1,message,2.00,RUB,2026-01-01T00:00:00Z\n")

    notes = json.loads(run("rates", "check", config, "--json").stdout)["notes"]
    assert any("gone on sms" in note for note in notes)
    assert any("smsc bills by segment, and a rate of it counts by message" in one for one in notes)


@pytest.mark.parametrize("name", ["rates.csv", "providers.toml", "policies.toml"])
def test_a_file_that_is_missing_is_a_problem(run, config: Path, name: str):
    (config / name).unlink()

    result = run("rates", "check", config)
    assert result.exit_code == 3
    assert name in result.stdout


@pytest.mark.integration
def test_the_rate_in_force_is_shown_not_those_before_it(journey: Journey, run):
    result = run("rates", "show", "--account", "smsc")

    assert result.exit_code == 0, result.output
    [line] = [one for one in result.stdout.splitlines() if " +7 " in one]
    assert "2.00 RUB a segment" in line
    assert "notify-vk" not in result.stdout


@pytest.mark.integration
def test_an_account_without_any_rate_is_refused(journey: Journey, run):
    result = run("rates", "show", "--account", "nobody")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "--account: no rate of 'nobody' is in force; see `cascade rates show`" in result.stderr


@pytest.mark.integration
def test_another_day_has_other_rates(journey: Journey, run):
    shown = json.loads(run("rates", "show", "--at", "2025-12-31", "--json").stdout)

    assert [(one["account"], one["prefix"], one["price"]) for one in shown] == [
        ("notify-vk", "+7", "0.280000"),
        ("smsc", "+7", "1.850000"),
    ]


@pytest.mark.parametrize("at", ["soon", "2026-01-01T10:00"])
def test_a_day_that_is_none_is_wrong_use(run, at: str):
    assert run("rates", "show", "--at", at).exit_code == 2
