from __future__ import annotations

import base64
import json
import time

import pytest

from click.testing import CliRunner, Result

from cascade.cli.main import main
from cascade.dispatch import ENQUEUE, Dispatcher, producer_app, queue
from cascade.settings import KEY_BYTES
from tests.services.journey import PHONE, Journey


OLD = base64.b64encode(b"k" * 32).decode()
NEW = base64.b64encode(b"n" * 32).decode()


def new(*options: str, **env: str) -> Result:
    return CliRunner().invoke(main, ["keys", "new", *options], env=env)


def lines(result: Result) -> dict[str, str]:
    assert result.exit_code == 0, result.output
    return dict(line.split("=", 1) for line in result.output.splitlines())


@pytest.fixture
def rotating(environment: dict[str, str]) -> dict[str, str]:
    """The keys of a deployment that moves from the key `test` to `new`."""
    return environment | {"CASCADE_SEAL_KEYS": f"new:{NEW},test:{OLD}"}


def rotate(environment: dict[str, str], *options: str) -> Result:
    return CliRunner().invoke(main, ["keys", "rotate", *options], env=environment)


def test_new_keys_are_lines_of_an_env_file_that_the_settings_take(environment: dict[str, str]):
    first, second = lines(new()), lines(new())

    assert list(first) == ["CASCADE_SEAL_KEYS", "CASCADE_HASH_KEY"]
    key_id, _, key = first["CASCADE_SEAL_KEYS"].partition(":")
    assert key_id == time.strftime("k%Y%m%d", time.gmtime())
    assert len(base64.b64decode(key)) == len(base64.b64decode(first["CASCADE_HASH_KEY"])) == 32
    assert len({*first.values(), *second.values(), first["CASCADE_HASH_KEY"]}) == 4
    assert CliRunner().invoke(main, ["keys", "new", "--seal-key"], env=first).exit_code == 0


def test_one_more_sealing_key_comes_before_those_there_are():
    [line] = lines(new("--seal-key", CASCADE_SEAL_KEYS=f"a:{OLD}, b:{NEW}")).values()

    fresh, *present = line.split(",")
    assert present == [f"a:{OLD}", f"b:{NEW}"]
    assert len(base64.b64decode(fresh.partition(":")[2])) == KEY_BYTES


def test_a_second_key_of_the_same_day_has_another_name():
    first = lines(new("--seal-key", CASCADE_SEAL_KEYS=f"a:{OLD}"))
    second = lines(new("--seal-key", **first))
    third = lines(new("--seal-key", **second))

    names = [part.partition(":")[0] for part in third["CASCADE_SEAL_KEYS"].split(",")]
    assert len(set(names)) == 4
    assert names[2] == names[1].removesuffix("-2")


def test_one_more_key_needs_the_present_ones():
    result = new("--seal-key", CASCADE_SEAL_KEYS="")

    assert result.exit_code == 3
    assert "CASCADE_SEAL_KEYS" in result.stderr


def test_keys_come_as_json_too():
    assert set(json.loads(new("--json").output)) == {"CASCADE_SEAL_KEYS", "CASCADE_HASH_KEY"}


@pytest.mark.integration
def test_after_a_rotation_the_old_key_can_be_dropped(journey: Journey, rotating: dict[str, str]):
    message = journey.send()

    result = rotate(rotating)

    assert result.exit_code == 0, result.output
    assert "sealed again by new: 1 messages and 0 receipts" in result.stdout
    assert "test can be dropped from CASCADE_SEAL_KEYS" in result.stdout
    for secret in (OLD, NEW, PHONE):
        assert secret not in result.output
    alone = rotating | {"CASCADE_SEAL_KEYS": f"new:{NEW}"}
    assert CliRunner().invoke(main, ["status", str(message)], env=alone).exit_code == 0
    assert CliRunner().invoke(main, ["doctor", "--only", "keys"], env=alone).exit_code == 0


@pytest.mark.integration
def test_never_more_rows_are_done_than_there_are(journey: Journey, rotating: dict[str, str]):
    journey.send()
    journey.change("ANALYZE cascade.messages")
    for _ in range(3):
        journey.send()

    assert " 4/4 rows" in rotate(rotating).stderr


@pytest.mark.integration
def test_requests_that_wait_in_the_broker_keep_the_old_key(
    journey: Journey, rotating: dict[str, str], broker_url: str
):
    app = producer_app(broker_url)
    Dispatcher(app).send(ENQUEUE, ["id", "sealed"], ENQUEUE)
    try:
        result = rotate(rotating, "--json")
    finally:
        with app.connection_for_write() as connection:
            queue(ENQUEUE)(connection.default_channel).purge()

    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert not found["may_drop_old_keys"]
    assert ENQUEUE in found["doubts"][0]


@pytest.mark.integration
def test_rows_of_a_lost_key_are_the_answer_no(journey: Journey, rotating: dict[str, str]):
    journey.send()

    result = rotate(rotating | {"CASCADE_SEAL_KEYS": f"new:{NEW}"})
    assert result.exit_code == 1
    assert "not yet: 1 rows of key 'test' cannot be opened" in result.stdout


@pytest.mark.integration
def test_a_rotation_needs_no_broker_but_says_that_it_was_not_asked(
    journey: Journey, rotating: dict[str, str]
):
    without = {name: one for name, one in rotating.items() if name != "CASCADE_BROKER_URL"}

    result = rotate({**without, "CASCADE_BROKER_URL": "redis://127.0.0.1:1/0"}, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["resealed"] == {"messages": 0, "receipts": 0}
    assert "broker" in json.loads(result.stdout)["doubts"][0]
