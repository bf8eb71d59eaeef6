"""Checks of the settings and the config files."""

from __future__ import annotations

import datetime as dt
import os
import time

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from cascade.channels.registry import load_accounts
from cascade.domain.errors import ConfigurationError
from cascade.services.finding import Finding, cure_of, ok, red
from cascade.services.inspect_config import Inspection, inspect_policies, inspect_rates
from cascade.settings import Addresses, DatabaseSettings, ServiceSettings, load


class ConfigSettings(BaseSettings):
    """Where the config files are, and what the accounts' webhook addresses begin with."""

    model_config = DatabaseSettings.model_config

    config_dir: Path = Path("config")
    gateway_url: str = "http://127.0.0.1:8080"


class CallbackSettings(BaseSettings):
    """The callers' brokers, by name."""

    model_config = DatabaseSettings.model_config

    callback_brokers: Addresses = Field(default_factory=dict)


def machine_time() -> dt.datetime:
    """The time of this machine: files are looked over where there is no database to ask."""
    return dt.datetime.fromtimestamp(time.time(), dt.UTC)


def settings() -> Finding:
    """Everything that workers and the gateway are told by the environment."""
    try:
        load(ServiceSettings)
    except ConfigurationError as error:
        return red(error.problem, f"mend {cure_of(error)}")
    return ok("all set")


def policies() -> Finding:
    """`policies.toml`."""
    found = inspect_policies(load(ConfigSettings).config_dir)
    return _judged(found, f"{found.count} policies", "policies")


def rates() -> Finding:
    """`rates.csv`, with a rate for each account."""
    found = inspect_rates(load(ConfigSettings).config_dir, machine_time())
    return _judged(found, f"{found.count} rates, every account has one", "rates")


def providers() -> Finding:
    """`providers.toml`, with the secrets of the environment."""
    ours = load(ConfigSettings)
    try:
        accounts = load_accounts(
            ours.config_dir / "providers.toml", environ=os.environ, gateway_url=ours.gateway_url
        )
    except ConfigurationError as error:
        return red(f"{error.field}: {error.problem}", cure_of(error))
    return ok(f"{len(accounts)} accounts, with their secrets")


def _judged(found: Inspection, seen: str, command: str) -> Finding:
    match found.problems:
        case []:
            return ok(seen)
        case [first]:
            return red("1 problem", first)
        case [first, *rest]:
            return red(
                f"{1 + len(rest)} problems",
                f"mend them, as `cascade {command} check` lists them; the first: {first}",
            )
        case _:
            raise AssertionError
