"""Checks of customers' endpoints: the file that names them, and how they answer."""

from __future__ import annotations

import os

from sqlalchemy import Connection

from cascade.callbacks.endpoints import load_endpoints
from cascade.domain.errors import ConfigurationError
from cascade.services.check_config import ConfigSettings
from cascade.services.finding import Finding, cure_of, ok, red, span, warning
from cascade.settings import load
from cascade.storage.endpoints import EndpointState, endpoint_states, owed_webhooks


FAILING = 3600.0  # seconds for which an endpoint may fail before somebody should look


def endpoints() -> Finding:
    """`endpoints.toml`, with the secrets of the environment."""
    try:
        found = load_endpoints(load(ConfigSettings).config_dir, os.environ)
    except ConfigurationError as error:
        return red(f"{error.field}: {error.problem}", cure_of(error))
    return ok(f"{len(found.by_name)} endpoints, with their secrets")


def webhooks(connection: Connection) -> Finding:
    """Whether endpoints take what they are told."""
    states, owed = endpoint_states(connection), owed_webhooks(connection)
    disabled = [one for one in states if one.disabled_for is not None]
    failing = [one for one in states if one not in disabled and (one.failing_for or 0) > FAILING]
    unknown = sorted(owed.keys() - {one.name for one in states})
    if disabled:
        names = " ".join(one.name for one in disabled)
        cure = f"when it is mended: `cascade callbacks test {names}`, then `… enable {names}`"
        return warning(f"disabled: {_told(disabled)}", cure)
    if unknown:
        cure = "add them to endpoints.toml again; what they are owed waits for them"
        return warning(f"owed to endpoints that no file names: {', '.join(unknown)}", cure)
    if failing:
        cure = "tell its owner; it is tried until five days are over, and disabled then"
        return warning(f"failing: {_told(failing)}", cure)
    return ok(f"{len(states)} endpoints, {sum(owed.values()):,} webhooks owed")


def _told(states: list[EndpointState]) -> str:
    return ", ".join(
        f"{one.name} ({one.error}, for {span(max(0.0, one.failing_for or 0))})" for one in states
    )
