from __future__ import annotations

import base64

from collections.abc import Callable

import pytest

from click.testing import CliRunner, Result

from cascade.cli.main import main


SEAL_KEYS = f"test:{base64.b64encode(b'k' * 32).decode()}"
HASH_KEY = base64.b64encode(b"h" * 32).decode()

Run = Callable[..., Result]


@pytest.fixture
def environment(database_url: str, broker_url: str) -> dict[str, str]:
    """What names the deployment of the tests; its keys are those of `ledger`."""
    return {
        "CASCADE_DATABASE_URL": database_url,
        "CASCADE_BROKER_URL": broker_url,
        "CASCADE_SEAL_KEYS": SEAL_KEYS,
        "CASCADE_HASH_KEY": HASH_KEY,
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs a command in this process, as a script would."""

    def run_command(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(one) for one in arguments], env=environment)

    return run_command
