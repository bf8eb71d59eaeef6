from __future__ import annotations

import base64
import os
import subprocess
import sys

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sqlalchemy import Engine, text

from cascade.services.deployment import Ledger
from tests.services.caller import DIED, THREADS


pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PROCESSES = 5

Call = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def call(ledger: Ledger, database_url: str, broker_url: str) -> Iterator[Call]:
    """Starts a caller that waits for a line before it sends."""
    key = base64.b64encode(b"k" * 32).decode()
    environment = os.environ | {
        "CASCADE_DATABASE_URL": database_url,
        "CASCADE_BROKER_URL": broker_url,
        "CASCADE_SEAL_KEYS": f"test:{key}",
        "CASCADE_HASH_KEY": key,
    }
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.services.caller", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ids(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate("go\n", timeout=30)
    return output.split()


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def messages(engine: Engine) -> int:
    with engine.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM cascade.messages")).scalar_one())


def test_fifty_callers_of_five_processes_with_one_key_get_one_id(engine: Engine, call: Call):
    callers = [call() for _ in range(PROCESSES)]
    for caller in callers:
        ready(caller)
    for caller in callers:
        assert caller.stdin is not None
        caller.stdin.write("go\n")
        caller.stdin.flush()

    answered = [one for caller in callers for one in ids(caller)]

    assert len(answered) == PROCESSES * THREADS
    assert len(set(answered)) == messages(engine) == 1


def test_a_caller_that_dies_between_commit_and_answer_gets_the_first_id_when_it_asks_again(
    engine: Engine, call: Call
):
    dying = call("--die")
    ready(dying)
    assert ids(dying) == []
    assert dying.returncode == DIED
    with engine.begin() as connection:
        committed = connection.execute(text("SELECT id FROM cascade.messages")).scalar_one()

    again = call()
    ready(again)

    assert set(ids(again)) == {str(committed)}
    assert messages(engine) == 1
