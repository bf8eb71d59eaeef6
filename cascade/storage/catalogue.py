"""Policies and rates of the database, for people to read."""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.domain.money import PriceUnit, Rate
from cascade.domain.policy import Policy
from cascade.domain.state import Channel
from cascade.storage.database import CLOCK
from cascade.storage.policies import PolicyVersions


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One version, and how many messages are on their way by it."""

    policy: Policy
    version: int
    created_at: dt.datetime
    is_newest: bool
    in_progress: int


# Whoever is in progress has a live attempt, and those have an index.
_VERSIONS = text("""
    WITH live AS (
        SELECT m.policy_id, count(DISTINCT m.id) AS in_progress
        FROM cascade.attempts a JOIN cascade.messages m ON m.id = a.message_id
        WHERE a.due_at IS NOT NULL AND m.state = 'in_progress'
        GROUP BY m.policy_id
    )
    SELECT p.id, p.version, p.created_at, coalesce(live.in_progress, 0) AS in_progress,
        p.version = max(p.version) OVER (PARTITION BY p.name) AS is_newest
    FROM cascade.policies p LEFT JOIN live ON live.policy_id = p.id
    WHERE CAST(:name AS text) IS NULL OR p.name = :name
    ORDER BY p.name, p.version DESC
""")

_NEWEST = text("""
    SELECT DISTINCT ON (name) id, name FROM cascade.policies WHERE name = ANY(:names)
    ORDER BY name, version DESC
""")

_RATES = """
    SELECT id, account, channel, prefix, unit, price, currency, valid_from FROM cascade.rates
    WHERE channel = ANY(:channels)"""

_IN_FORCE = text(f"""
    SELECT DISTINCT ON (account, channel, prefix) *
    FROM ({_RATES} AND valid_from <= coalesce(CAST(:at AS timestamptz), {CLOCK})) rates
    ORDER BY account, channel, prefix, valid_from DESC
""")  # noqa: S608  # constants


def versions(connection: Connection, name: str | None = None) -> list[PolicyVersion]:
    """Every version of the policy `name`, or of all, the newest first."""
    rows = connection.execute(_VERSIONS, {"name": name}).all()
    policies = PolicyVersions().load(connection, (row.id for row in rows))
    return [
        PolicyVersion(
            policy=policies[row.id],
            version=row.version,
            created_at=row.created_at,
            is_newest=row.is_newest,
            in_progress=row.in_progress,
        )
        for row in rows
    ]


def newest_of(connection: Connection, names: Iterable[str]) -> dict[str, Policy]:
    """The newest version of each policy that is there."""
    rows = connection.execute(_NEWEST, {"names": list(names)}).all()
    policies = PolicyVersions().load(connection, (row.id for row in rows))
    return {row.name: policies[row.id] for row in rows}


def newest_versions(connection: Connection) -> dict[str, int]:
    """The number of each policy's newest version."""
    statement = text("SELECT name, max(version) AS version FROM cascade.policies GROUP BY name")
    return {row.name: row.version for row in connection.execute(statement)}


def stored_rates(connection: Connection) -> list[Rate]:
    """All of them, past and coming ones too."""
    values = {"channels": list(Channel)}  # newer code may know more of them
    return [_rate(row) for row in connection.execute(text(_RATES), values)]


def rates_in_force(connection: Connection, at: dt.datetime | None) -> list[Rate]:
    """The rate of each account, channel and prefix at that moment; None is now."""
    rows = connection.execute(_IN_FORCE, {"channels": list(Channel), "at": at})
    return [_rate(row) for row in rows]


def _rate(row: Row[Any]) -> Rate:
    return Rate(
        id=row.id,
        account=row.account,
        channel=Channel(row.channel),
        prefix=row.prefix,
        unit=PriceUnit(row.unit),
        price=row.price,
        currency=row.currency,
        valid_from=row.valid_from,
    )
