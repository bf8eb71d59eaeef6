"""Policies in the database: immutable versions, so they can be kept in memory for ever; and what
policies are checked against.
"""

from __future__ import annotations

import dataclasses
import json

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.domain.errors import ConfigurationError, InvalidInputError, shown
from cascade.domain.policy import INLINE, ChannelFacts, Policy, Step
from cascade.domain.state import Channel, Success
from cascade.storage.rows import as_rows


_LATEST = text("""
    SELECT id, name, version, steps, deadline FROM cascade.policies
    WHERE name = :name ORDER BY version DESC LIMIT 1
""")

_INSERT = text("""
    INSERT INTO cascade.policies (name, version, steps, deadline)
    VALUES (:name, :version, CAST(:steps AS jsonb), :deadline)
    ON CONFLICT (name, version) DO NOTHING
""")

INLINE_MAXIMUM = 1000

_COUNT_INLINE = text(f"SELECT count(*) FROM cascade.policies WHERE name LIKE '{INLINE}%'")  # noqa: S608  # a constant

_SYNC_CHANNELS = text("""
    INSERT INTO cascade.channels
    SELECT * FROM json_populate_recordset(CAST(NULL AS cascade.channels), CAST(:rows AS json))
    ON CONFLICT (channel) DO UPDATE SET account = excluded.account,
        ttl_minimum = excluded.ttl_minimum, ttl_maximum = excluded.ttl_maximum,
        read_receipts = excluded.read_receipts, late_delivery = excluded.late_delivery
""")


def sync(connection: Connection, policies: Iterable[Policy]) -> list[str]:
    """Writes a new version of each policy that differs from its newest; returns their names.

    Two processes that sync at once write one version: the second insert is a no-op.
    """
    written = []
    for policy in sorted(policies, key=lambda policy: policy.name):
        newest = connection.execute(_LATEST, {"name": policy.name}).one_or_none()
        if newest is not None and _policy(newest) == policy:
            continue
        _write(connection, policy, version=1 if newest is None else newest.version + 1)
        written.append(policy.name)
    return written


def newest(connection: Connection, name: str) -> tuple[int, Policy]:
    """The newest version's id and the policy; raises ConfigurationError if there is none."""
    row = connection.execute(_LATEST, {"name": name}).one_or_none()
    if row is None:
        raise ConfigurationError(
            "policy", f"{shown(name)} is not in the database", "add it to policies.toml and sync"
        )
    return row.id, _policy(row)


def keep(connection: Connection, policy: Policy) -> int:
    """The id of an inline policy, which is written if it is new.

    Raises InvalidInputError where there are 1,000 already: policies are never deleted.
    """
    row = connection.execute(_LATEST, {"name": policy.name}).one_or_none()
    if row is not None:
        return int(row.id)
    if connection.execute(_COUNT_INLINE).scalar_one() >= INLINE_MAXIMUM:
        raise InvalidInputError(
            "policy",
            f"{INLINE_MAXIMUM} different lists of steps have been written in Python",
            "use a named policy, or times that do not differ from message to message",
        )
    _write(connection, policy, version=1)
    return int(connection.execute(_LATEST, {"name": policy.name}).one().id)


def sync_channels(connection: Connection, channels: Mapping[Channel, ChannelFacts]) -> None:
    """Makes the database say the same of the channels as the config files."""
    rows = [
        {"channel": channel.value, **dataclasses.asdict(channels[channel])} for channel in channels
    ]
    connection.execute(_SYNC_CHANNELS, {"rows": as_rows(rows)})
    connection.execute(
        text("DELETE FROM cascade.channels WHERE channel <> ALL(:channels)"),
        {"channels": [channel.value for channel in channels]},
    )


def channel_facts(connection: Connection) -> dict[Channel, ChannelFacts]:
    """What policies are checked against; raises ConfigurationError before the first sync."""
    rows = connection.execute(text("SELECT * FROM cascade.channels")).mappings().all()
    if not rows:
        raise ConfigurationError(
            "channels", "none is in the database", "run `cascade policies sync`, or start beat"
        )
    return {
        Channel(row["channel"]): ChannelFacts(**{k: v for k, v in row.items() if k != "channel"})
        for row in rows
        if row["channel"] in tuple(Channel)  # newer code may know more of them
    }


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
                text(
                    "SELECT id, name, steps, deadline FROM cascade.policies WHERE id = ANY(:ids)"
                ),
                {"ids": sorted(missing)},
            )
            for row in rows:
                self._known[row.id] = _policy(row)
        return {policy_id: self._known[policy_id] for policy_id in wanted}


def _write(connection: Connection, policy: Policy, *, version: int) -> None:
    steps = json.dumps([dataclasses.asdict(step) for step in policy.steps])
    connection.execute(
        _INSERT,
        {"name": policy.name, "version": version, "steps": steps, "deadline": policy.deadline},
    )


def _policy(row: Row[Any]) -> Policy:
    return Policy(name=row.name, steps=_steps(row.steps), deadline=row.deadline)


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
