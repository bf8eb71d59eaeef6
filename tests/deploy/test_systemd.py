from __future__ import annotations

import configparser
import re

from pathlib import Path

import pytest

from deploy.make_env import ROOT
from tests.deploy.compose import sample, services


UNITS = ROOT / "deploy" / "systemd"
CHANNELS = ("vk", "ok", "viber", "whatsapp", "sms")


def section(unit: str, name: str) -> dict[str, str]:
    """A unit's settings."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd minds the case
    parser.read(UNITS / unit, "utf-8")
    return dict(parser[name])


def started(service: str) -> list[str]:
    """The command by which systemd starts what Compose calls so."""
    unit = "cascade-channel@" if service in CHANNELS else f"cascade-{service}"
    said = section(f"{unit}.service", "Service")["ExecStart"]
    program, *rest = said.replace("%i", service).replace("%%", "%").split()
    return [Path(program).name, *rest]


@pytest.mark.parametrize(
    "service", sorted(services(sample()).keys() - {"migrate", "postgres", "sandbox", "valkey"})
)
def test_a_unit_starts_what_compose_starts(service: str) -> None:
    inside = [
        "127.0.0.1" if word == "0.0.0.0" else word  # noqa: S104  # of a container
        for word in services(sample())[service].command
    ]
    assert started(service) == inside
    wanted = (UNITS / "cascade.target").read_text("utf-8")
    name = f"cascade-channel@{service}" if service in CHANNELS else f"cascade-{service}"
    assert re.search(rf"\b{re.escape(name)}\.service\b", wanted)


def test_every_unit_is_given_the_time_to_end_what_it_has_begun() -> None:
    common = section("cascade-.service.d/service.conf", "Service")
    assert int(common["TimeoutStopSec"]) == services(sample())["vk"].grace
    assert common["KillMode"] == "mixed"  # children must not hear the signal as well
