"""Policies in the database: immutable versions, so they can be kept in memory for ever."""

from __future__ import annotations

import dataclasses
import json

from collections.abc import Iterable

from sqlalchemy import Connection, text

from cascade.domain.errors import ConfigurationError, shown
from cascade.domain.policy import Policy, Step
from cascade.domain.state import Channel, Success


_LATEST = text("""
    SELECT id, name, version, steps FROM cascade.policies
    WHERE name = :name ORDER BY version DESC LIMIT 1
""")

_INSERT = text("""
    INSERT INTO cascade.policies (name, version, steps)
    VALUES (:name, :version, CAST(:steps AS jsonb))
    ON CONFLICT (name, version) DO NOTHING
""")


def sync(connection: Connection, policies: Iterable[Policy]) -> list[str]:
    """Writes a new version of each policy that differs from its newest; returns their names.

    Two processes that sync at once write one version: the second insert is a no-op.
    """
    written = []
    for policy in sorted(policies, key=lambda policy: policy.name):
        newest = connection.execute(_LATEST, {"name": policy.name}).one_or_none()
        if newest is not None and _steps(newest.steps) == policy.steps:
            continue
        version = 1 if newest is None else newest.version + 1
        steps = json.dumps([dataclasses.asdict(step) for step in policy.steps])
        connection.execute(_INSERT, {"name": policy.name, "version": version, "steps": steps})
        written.append(policy.name)
    return written


def newest(connection: Connection, name: str) -> tuple[int, Policy]:
    """The newest version's id and the policy; raises ConfigurationError if there is none."""
    row = connection.execute(_LATEST, {"name": name}).one_or_none()
    if row is None:
        raise ConfigurationError(
            "policy", f"{shown(name)} is not in the database", "add it to policies.toml and sync"
        )
    return row.id, Policy(name=row.name, steps=_steps(row.steps))


class PolicyVersions:
    """Versions by id, each read once per process."""

    def __init__(self) -> None:
        self._known: dict[int, Policy] = {}

    def load(self, connection: Connection, ids: Iterable[int]) -> dict[int, Policy]:
        """The policies with these ids."""
        wanted = set(ids)
        missing = wanted - self._known.keys()
        if missing:
            rows = connection.execute(
                text("SELECT id, name, steps FROM cascade.policies WHERE id = ANY(:ids)"),
                {"ids": sorted(missing)},
            )
            for row in rows:
                self._known[row.id] = Policy(name=row.name, steps=_steps(row.steps))
        return {policy_id: self._known[policy_id] for policy_id in wanted}


def _steps(rows: list[dict[str, object]]) -> tuple[Step, ...]:
    return tuple(
        Step(
            channel=Channel(str(row["channel"])),
            account=str(row["account"]),
            ttl=int(str(row["ttl"])),
            ttl_minimum=int(str(row["ttl_minimum"])),
            success=Success(str(row["success"])),
            max_wait=None if row["max_wait"] is None else int(str(row["max_wait"])),
        )
        for row in rows
    )
