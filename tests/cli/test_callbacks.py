from __future__ import annotations

import json

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from standardwebhooks import Webhook

from cascade.callbacks.signature import key_of
from cascade.domain.event import OnStatus
from cascade.storage.database import transaction
from cascade.storage.endpoints import sync_endpoints
from tests.callbacks.receiver import Answer, Receiver, a_receiver
from tests.cli.conftest import Run
from tests.services.journey import Journey


pytestmark = pytest.mark.integration

SECRET = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"


@pytest.fixture
def owed(journey: Journey) -> Callable[[str], None]:
    """Owes webhooks to the endpoint `shop`, changed by SQL."""

    def make(change: str) -> None:
        journey.cascade.cancel(journey.send(on_status=OnStatus(endpoint="shop")))
        journey.change(change)

    transaction(journey.engine, lambda c: sync_endpoints(c, ["crm", "shop"]))
    return make


def test_endpoints_are_listed_with_what_they_are_owed(owed, journey: Journey, run: Run):
    owed("UPDATE cascade.events SET due_at = NULL, tries = 10")
    owed("UPDATE cascade.endpoints SET failing_since = now(), error = 'http_503'")
    journey.advance(7200)

    listed = run("callbacks", "list")
    assert listed.stdout.splitlines()[1:] == [
        "crm       failing for 2 h (http_503)  0     0       ",
        "shop      failing for 2 h (http_503)  1     1       ",
    ]
    [_, shop] = json.loads(run("callbacks", "list", "--json").stdout)
    assert (shop["endpoint"], shop["owed"], shop["given_up"]) == ("shop", 1, 1)
    assert shop["failing_for"] > 7000


def test_a_disabled_endpoint_is_enabled_again(owed, run: Run):
    owed("UPDATE cascade.endpoints SET disabled_at = now(), error = 'deadline'")
    assert "disabled for" in run("callbacks", "list").stdout

    assert run("callbacks", "enable", "shop").stdout == (
        "shop is enabled; 1 webhooks are owed to it\n"
    )
    assert "shop      well " in run("callbacks", "list").stdout


def test_what_was_given_up_is_owed_again_from_a_time_on(owed, journey: Journey, run: Run):
    owed("UPDATE cascade.events SET due_at = NULL, tries = 10")

    since = journey.row("SELECT happened_at + interval '1 s' AS at FROM cascade.events").at
    late = run("callbacks", "resend", "shop", "--since", since.isoformat(), "--json")
    assert json.loads(late.stdout) == {"endpoint": "shop", "resent": 0}
    assert run("callbacks", "resend", "shop").stdout == "1 webhooks are owed to shop again\n"
    assert run("callbacks", "resend", "crm").stdout == "0 webhooks are owed to crm again\n"


@pytest.mark.parametrize("command", ["enable", "resend"])
def test_a_name_that_is_no_endpoint_is_refused(owed, run: Run, command: str):
    result = run("callbacks", command, "typo")

    assert result.exit_code == 2
    assert "no endpoint 'typo' is in the database; see `cascade callbacks list`" in result.stderr


def test_a_time_without_a_zone_is_refused(owed, run: Run):
    result = run("callbacks", "resend", "shop", "--since", "2026-11-01T00:00")

    assert result.exit_code == 2
    assert "it has no zone" in result.stderr


@pytest.fixture
def shop(tmp_path: Path, environment: dict[str, str]) -> Iterator[Receiver]:
    """An endpoint that the file names."""
    with a_receiver() as receiver:
        (tmp_path / "endpoints.toml").write_text(
            f'ports = [{receiver.port}]\nprivate_networks = ["127.0.0.1/32"]\n'
            f'[endpoints.shop]\nurl = "{receiver.url()}"\n'
        )
        environment["CASCADE_CONFIG_DIR"] = str(tmp_path)
        environment["CASCADE_ENDPOINT_SHOP_SECRETS"] = SECRET
        yield receiver


def test_an_endpoint_is_called_for_a_test(run: Run, shop: Receiver):
    result = run("callbacks", "test", "shop")

    assert (result.exit_code, result.stdout) == (0, "shop took it\n"), result.output
    [heard] = shop.heard
    assert Webhook(SECRET).verify(heard.body, dict(heard.headers))["type"] == "endpoint.test"


def test_a_test_that_fails_says_how_and_ends_with_1(run: Run, shop: Receiver):
    shop.answer = lambda _: Answer(401)

    result = run("callbacks", "test", "shop")

    assert (result.exit_code, result.stdout) == (1, "shop: http_401\n")


def test_an_endpoint_that_the_file_does_not_name_cannot_be_tested(run: Run, shop: Receiver):
    result = run("callbacks", "test", "crm")

    assert result.exit_code == 2
    assert "it has: shop" in result.stderr


def test_a_made_secret_is_one_and_each_is_another(run: Run):
    first, second = (run("callbacks", "secret").stdout.strip() for _ in range(2))

    assert len(key_of(first)) == 32
    assert first != second
