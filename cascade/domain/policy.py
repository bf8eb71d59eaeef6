"""Cascade policies: ordered steps, each a channel with the time it is given."""

from __future__ import annotations

import re

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cascade.domain.errors import ConfigurationError
from cascade.domain.state import Channel, Success


_DURATION = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_STEP_FIELDS = frozenset({"channel", "ttl", "success", "max_wait"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFacts:
    """What the checks must know of the account that serves a channel; times in seconds."""

    account: str
    ttl_minimum: int  # 0 where the provider takes no TTL per message
    ttl_maximum: int
    read_receipts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One channel's turn: `ttl` and `max_wait` in seconds, counted from the first sending and
    from the opening of the step.
    """

    channel: Channel
    account: str
    ttl: int
    ttl_minimum: int
    success: Success = Success.DELIVERED
    max_wait: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A named, immutable version of an ordered list of steps."""

    name: str
    steps: tuple[Step, ...]


def seconds(duration: object) -> int:
    """`15s`, `10m`, `1h`, `7d` in seconds; raises ValueError for anything else or for zero."""
    match = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if match is None or int(match[1]) == 0:
        msg = "not a duration such as 15s, 10m, 1h or 1d"
        raise ValueError(msg)
    return int(match[1]) * _SECONDS[match[2]]


def read_policies(
    source: str, document: Mapping[str, Any], channels: Mapping[Channel, ChannelFacts]
) -> list[Policy]:
    """The policies of a parsed TOML file; `source` is its name for messages.

    Raises ConfigurationError naming file, policy, step and cure.
    """
    policies = _table(f"{source}: policies", document.get("policies", {}))
    return [
        Policy(name=name, steps=_steps(f"{source}: policy {name!r}", policy, channels))
        for name, policy in policies.items()
    ]


def _table(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(where, "it is no table", "write it as a TOML table")
    return value


def _steps(
    where: str, policy: object, channels: Mapping[Channel, ChannelFacts]
) -> tuple[Step, ...]:
    rows = _table(where, policy).get("steps")
    if not isinstance(rows, list) or not rows:
        raise ConfigurationError(where, "it has no steps", "give it a list of at least one step")
    steps = tuple(
        _step(f"{where}, step {place}", _table(f"{where}, step {place}", row), channels)
        for place, row in enumerate(rows, 1)
    )
    seen: set[Channel] = set()
    for place, step in enumerate(steps, 1):
        if step.channel in seen:
            raise ConfigurationError(
                f"{where}, step {place}",
                f"channel {step.channel} appears twice",
                "name each channel once",
            )
        seen.add(step.channel)
    return steps


def _step(where: str, row: Mapping[str, Any], channels: Mapping[Channel, ChannelFacts]) -> Step:
    for unknown in sorted(set(row) - _STEP_FIELDS):
        raise ConfigurationError(
            f"{where}, {unknown}", "no such field", f"use {', '.join(sorted(_STEP_FIELDS))}"
        )
    channel, facts = _channel(where, row.get("channel"), channels)
    ttl = _seconds(f"{where}, ttl", row.get("ttl"))
    _check_ttl(f"{where}, ttl", ttl, channel, facts)
    success = _success(where, row.get("success", "delivered"), channel, facts)
    max_wait = row.get("max_wait")
    return Step(
        channel=channel,
        account=facts.account,
        ttl=ttl,
        ttl_minimum=facts.ttl_minimum,
        success=success,
        max_wait=None if max_wait is None else _seconds(f"{where}, max_wait", max_wait),
    )


def _seconds(where: str, duration: object) -> int:
    try:
        return seconds(duration)
    except ValueError as error:
        raise ConfigurationError(where, str(error), "write for example 15s or 1h") from None


def _channel(
    where: str, name: object, channels: Mapping[Channel, ChannelFacts]
) -> tuple[Channel, ChannelFacts]:
    for channel, facts in channels.items():
        if channel.value == name:
            return channel, facts
    raise ConfigurationError(
        f"{where}, channel",
        f"{name!r} is served by no account",
        f"use one of {', '.join(sorted(channels))}",
    )


def _check_ttl(where: str, ttl: int, channel: Channel, facts: ChannelFacts) -> None:
    if ttl < facts.ttl_minimum:
        raise ConfigurationError(
            where,
            f"{ttl} s is below what {channel} by {facts.account} takes",
            f"give at least {facts.ttl_minimum}s",
        )
    if ttl > facts.ttl_maximum:
        raise ConfigurationError(
            where,
            f"{ttl} s is above what {channel} by {facts.account} takes",
            f"give at most {facts.ttl_maximum}s",
        )


def _success(where: str, name: object, channel: Channel, facts: ChannelFacts) -> Success:
    if name not in tuple(Success):
        raise ConfigurationError(
            f"{where}, success", f"{name!r} is no success", "use delivered or read"
        )
    if name == Success.READ and not facts.read_receipts:
        raise ConfigurationError(
            f"{where}, success",
            f"{channel} by {facts.account} has no read receipts",
            "use delivered",
        )
    return Success(str(name))
