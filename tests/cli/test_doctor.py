from __future__ import annotations

import json

import pytest

from click.testing import CliRunner, Result

from cascade.cli.main import main
from cascade.services.doctor import NAMES
from demo.environment import make
from tests.services.journey import PHONE, WORDS, Journey


pytestmark = pytest.mark.integration


@pytest.fixture
def whole(environment: dict[str, str]) -> dict[str, str]:
    """All settings of a deployment, the providers' secrets too."""
    made = make(environment["CASCADE_DATABASE_URL"], environment["CASCADE_BROKER_URL"]).values
    return {name: one for name, one in made.items() if name.startswith("CASCADE_")} | environment


def doctor(env: dict[str, str], *options: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *options], env=env)


def test_a_healthy_deployment_ends_with_0_and_a_line_for_each_check(
    journey: Journey, whole: dict[str, str]
):
    journey.send()
    journey.tick()

    result = doctor(whole)

    assert result.exit_code == 0, result.output
    heading, *rows = result.stdout.splitlines()
    assert heading.split()[:3] == ["check", "state", "seen"]
    assert [row.split()[:2] for row in rows] == [[name, "ok"] for name in NAMES]
    for secret in (PHONE, WORDS, *whole.values()):
        assert secret in {"", whole["CASCADE_CONFIG_DIR"]} or secret not in result.output


def test_red_ends_with_1_and_its_line_says_what_to_do(journey: Journey, whole: dict[str, str]):
    result = doctor(whole, "--only", "tick,broker")

    assert result.exit_code == 1
    [line] = [row for row in result.stdout.splitlines() if row.startswith("tick")]
    assert " red " in line
    assert "see that beat and the worker of queue `tick` run" in line


def test_the_tick_may_be_left_out(journey: Journey, whole: dict[str, str]):
    result = doctor(whole, "--no-tick")

    assert result.exit_code == 0, result.output
    assert "\ntick " not in result.stdout


def test_a_container_asks_with_only_the_settings_that_it_has(broker_url: str):
    assert doctor({"CASCADE_BROKER_URL": broker_url}, "--only", "broker").exit_code == 0


def test_json_says_the_same(journey: Journey, whole: dict[str, str]):
    result = doctor(whole, "--json", "--only", "database", "--only", "tick")

    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert found["is_well"] is False
    assert [(one["name"], one["state"]) for one in found["checks"]] == [
        ("database", "ok"),
        ("tick", "red"),
    ]
    assert found["checks"][1]["cure"]


def test_a_check_that_there_is_not_is_wrong_use():
    result = doctor({}, "--only", "database,weather")

    assert result.exit_code == 2
    assert f"there is no check 'weather'; there are {', '.join(NAMES)}" in " ".join(
        result.stderr.split()
    )


def test_what_is_seen_is_not_taken_for_markup(engine, whole: dict[str, str]):
    result = doctor(whole | {"CASCADE_SEAL_KEYS": "[red]:nonsense"}, "--only", "settings")

    assert "CASCADE_SEAL_KEYS" in result.stdout
