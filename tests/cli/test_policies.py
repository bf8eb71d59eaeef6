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


def edit(path: Path, old: str, new: str) -> None:
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))


def test_sound_files_end_with_0_and_tell_what_is_better_known(run):
    result = run("policies", "check", CONFIG)

    assert result.exit_code == 0, result.output
    assert "3 policies, no problem" in result.stdout
    assert "note     policy 'default', step 4: late delivery possible" in result.stdout


def test_the_problem_of_every_policy_is_told(run, config: Path):
    edit(config / "policies.toml", 'channel = "vk", ttl = "15s"', 'channel = "vk", ttl = "1s"')
    edit(config / "policies.toml", 'channel = "vk", ttl = "1h"', 'channel = "fax", ttl = "1h"')

    result = run("policies", "check", config)
    assert result.exit_code == 3
    first, second = result.stdout.splitlines()
    assert "policy 'default', step 1, ttl" in first
    assert "give at least 15s" in first
    assert "policy 'patient', step 1, channel" in second


def test_a_file_that_is_no_toml_is_a_problem(run, config: Path):
    (config / "policies.toml").write_text("[policies")

    result = run("policies", "check", config, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 3
    assert (found["policies"], found["notes"]) == (0, [])
    assert "cannot be read as TOML" in found["problems"][0]


def test_a_directory_that_is_not_there_is_named_once_with_the_cure(run):
    result = run("policies", "check", "/nonexistent")

    assert result.exit_code == 3
    assert result.stdout == (
        "problem  /nonexistent/providers.toml: there is no such file;"
        " name the directory that holds policies.toml and providers.toml\n"
    )


def test_policies_that_are_missing_beside_the_accounts_are_named(run, config: Path):
    (config / "policies.toml").unlink()

    [line] = run("policies", "check", config).stdout.splitlines()

    assert line.startswith(f"problem  {config}/policies.toml: there is no such file; name")


def test_problems_of_the_accounts_are_told_one_by_one(run, config: Path):
    edit(config / "providers.toml", 'provider = "smsc"', 'provider = "post"')
    edit(config / "providers.toml", 'provider = "devino"', 'provider = "pigeon"')

    result = run("policies", "check", config)
    assert result.exit_code == 3
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.integration
def test_sync_tells_what_is_new_and_then_that_nothing_is(engine, run, config: Path):
    first = run("policies", "sync", config)
    assert first.exit_code == 0, first.output
    assert "policy default: version 1 is new" in first.stdout
    assert "rates: 37 are new" in first.stdout

    assert "in the database already" in run("policies", "sync", config).stdout
    edit(config / "policies.toml", '"1h"', '"2h"')
    second = json.loads(run("policies", "sync", config, "--json").stdout)
    assert second == {"policies": {"patient": 2}, "rates": 0}


@pytest.mark.integration
def test_sync_writes_nothing_of_files_with_a_problem(engine, run, config: Path):
    edit(config / "policies.toml", 'channel = "vk", ttl = "15s"', 'channel = "vk", ttl = "1s"')

    result = run("policies", "sync", config)
    assert result.exit_code == 3
    assert "give at least 15s" in result.stderr
    assert json.loads(run("policies", "show", "--json").stdout) == []


@pytest.mark.integration
def test_the_newest_versions_are_shown_with_their_steps(journey: Journey, run):
    journey.send()

    result = run("policies", "show")

    assert result.exit_code == 0, result.output
    [line] = [one for one in result.stdout.splitlines() if one.startswith("default")]
    assert "vk 15s → ok 15s → viber 30s → whatsapp 30s → sms 1m" in line
    assert line.split("sms 1m")[1].split()[:2] == ["3d", "1"]


@pytest.mark.integration
def test_an_older_version_is_shown_while_messages_go_by_it(journey: Journey, run, config: Path):
    message = journey.send()
    edit(config / "policies.toml", 'channel = "vk", ttl = "15s"', 'channel = "vk", ttl = "20s"')
    run("policies", "sync", config)

    shown = json.loads(run("policies", "show", "--json").stdout)
    versions = [(one["version"], one["in_progress"]) for one in shown if one["name"] == "default"]
    assert versions == [(2, 0), (1, 1)]
    journey.deliver(message)
    shown = json.loads(run("policies", "show", "--json").stdout)
    assert [one["version"] for one in shown if one["name"] == "default"] == [2]
    assert len(json.loads(run("policies", "show", "default", "--json").stdout)) == 2


@pytest.mark.integration
def test_policies_that_were_written_in_python_are_shown_by_name_only(journey: Journey, run):
    journey.send(policy=[{"channel": "sms", "ttl": "60s"}])
    [name] = journey.rows("SELECT name FROM cascade.policies WHERE name LIKE 'inline-%'")[0]

    assert name not in run("policies", "show").stdout
    assert name in run("policies", "show", name).stdout


@pytest.mark.integration
def test_a_policy_that_there_is_not_is_refused(journey: Journey, run):
    result = run("policies", "show", "nothing")

    assert result.exit_code == 2
    assert "'nothing'" in result.stderr
