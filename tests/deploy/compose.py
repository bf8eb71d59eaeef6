"""docker-compose.yml as Compose reads it, without an engine: merged, interpolated, with its .env."""

from __future__ import annotations

import functools
import re

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from deploy.make_env import ROOT, filled


COMPOSE = ROOT / "docker-compose.yml"

# $$, ${NAME}, ${NAME:-default}, ${NAME:?what is to be done}
_PLACE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\})")
_UNITS = {"s": 1, "m": 60}


class MissingError(Exception):
    """A variable that has to be set is not."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service, all of its settings resolved."""

    name: str
    settings: Mapping[str, Any]
    environment: Mapping[str, str]

    @property
    def command(self) -> list[str]:
        return list(self.settings["command"])

    @property
    def health(self) -> list[str]:
        """The command of its health check."""
        kind, *command = self.settings["healthcheck"]["test"]
        assert kind == "CMD"
        return command

    @property
    def grace(self) -> int:
        """Seconds that it is given to end."""
        said = self.settings.get("stop_grace_period", "10s")
        return int(said[:-1]) * _UNITS[said[-1]]

    @property
    def queues(self) -> list[str]:
        """Those that it serves, if it is a worker."""
        command = self.command
        return command[command.index("--queues") + 1].split(",") if "--queues" in command else []


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Every service of docker-compose.yml; raises MissingError."""
    document = interpolated(_document(), variables)
    return {name: _service(name, one, variables) for name, one in document["services"].items()}


@functools.cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return document


def _service(name: str, settings: Mapping[str, Any], variables: Mapping[str, str]) -> Service:
    given = dict(variables) if settings.get("env_file") == ".env" else {}
    return Service(name, settings, given | settings.get("environment", {}))


def variables_of(env_file: str) -> dict[str, str]:
    """What an .env says; a line may use those above it."""
    found: dict[str, str] = {}
    for line in env_file.splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found[name] = interpolated(value, found)
    return found


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """`value` with the variables in all of its texts, however deep."""
    match value:
        case dict():
            return {name: interpolated(one, variables) for name, one in value.items()}
        case list():
            return [interpolated(one, variables) for one in value]
        case str():
            return _PLACE.sub(lambda place: _said(place, variables), value)
        case _:
            return value


def _said(place: re.Match[str], variables: Mapping[str, str]) -> str:
    if place["name"] is None:
        return "$"
    value = variables.get(place["name"], "")
    if value or place["how"] is None:
        return value
    if place["how"] == "?":
        raise MissingError(f"{place['name']}: {place['rest']}")
    return place["rest"]


def sample() -> dict[str, str]:
    """The variables of a new .env."""
    return variables_of(filled((ROOT / ".env.example").read_text("utf-8")))
