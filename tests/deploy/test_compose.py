from __future__ import annotations

import re

from pathlib import Path
from typing import Any

import pytest

from check_jsonschema import main as check_jsonschema  # type: ignore[import-untyped]  # no types
from click.testing import CliRunner

from config.celery import SETTINGS
from config.queues import QUEUES
from demo.stack import WORKERS
from deploy.make_env import ROOT
from tests.deploy.compose import COMPOSE, MissingError, Service, sample, services


FILES = [COMPOSE, ROOT / "deploy" / "compose.servers.yml"]
OURS = sorted(services(sample()).keys() - {"postgres", "valkey"})
SECRETS = sorted(set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text("utf-8"))))


@pytest.fixture(params=sorted(services(sample())))
def service(request: pytest.FixtureRequest) -> Service:
    """Each service in its turn."""
    return services(sample())[request.param]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_files_fit_the_compose_schema(path: Path) -> None:
    arguments = ["--builtin-schema", "vendor.compose-spec", str(path)]
    result = CliRunner().invoke(check_jsonschema, arguments)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", SECRETS)
def test_a_setting_without_which_nothing_runs_is_asked_for_by_name(name: str) -> None:
    with pytest.raises(MissingError, match=rf"{name}: run deploy/make_env.py"):
        services(sample() | {name: ""})


def test_every_queue_has_a_worker_and_each_worker_the_order_of_the_demo() -> None:
    served = {name: one.queues for name, one in services(sample()).items() if one.queues}
    assert {queue.name for queue in QUEUES} == {
        name for names in served.values() for name in names
    }
    for name in ("vk", "ok", "viber", "whatsapp", "sms", "urgent", "tick"):
        assert served[name] == WORKERS[name][0]
    assert served["collector"] + served["callbacks"] == WORKERS["collector"][0]


def test_nothing_has_a_right_that_it_does_not_need(service: Service) -> None:
    assert service.settings["read_only"] is True
    assert service.settings["cap_drop"] == ["ALL"]
    assert service.settings["security_opt"] == ["no-new-privileges:true"]
    assert service.settings["mem_limit"]
    assert "privileged" not in service.settings
    assert "cap_add" not in service.settings


def test_nothing_is_reachable_from_other_machines(service: Service) -> None:
    ports: list[Any] = service.settings.get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_servers_are_in_a_network_without_a_way_out() -> None:
    for name in ("postgres", "valkey"):
        assert services(sample())[name].settings["networks"] == ["servers"]


def test_whoever_ends_is_started_again_and_all_are_watched(service: Service) -> None:
    once = service.name == "migrate"
    assert service.settings["restart"] == ("no" if once else "unless-stopped")
    assert once or service.settings["healthcheck"]["test"]


def test_what_a_worker_has_begun_may_end() -> None:
    limit = SETTINGS["task_time_limit"]
    assert isinstance(limit, int)
    for service in services(sample()).values():
        assert not service.queues or service.grace > limit


def test_urgent_messages_and_receipts_come_before_new_calls() -> None:
    shares = {
        name: one.settings.get("cpu_shares", 1024) for name, one in services(sample()).items()
    }
    for name in ("urgent", "collector", "tick", "gateway", "beat"):
        assert shares[name] > shares["vk"]


@pytest.mark.parametrize("name", ["beat", "flower", "migrate"])
def test_who_calls_no_provider_does_not_know_their_secrets(name: str) -> None:
    environment = services(sample())[name].environment
    assert not [known for known in environment if "_PASSWORD" in known or "_TOKEN" in known]
    assert "CASCADE_SMSC_PASSWORD" in services(sample())["sms"].environment


def test_every_variable_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text("utf-8")))
    optional = {"CASCADE_IMAGE", "CASCADE_SANDBOX_IMAGE"}
    assert used - optional <= sample().keys()
