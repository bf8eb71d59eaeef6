"""Cascade policies: ordered steps, each a channel with the time it is given."""

from __future__ import annotations

import hashlib
import re

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Required, TypedDict

from cascade.domain.errors import ConfigurationError, InvalidInputError, shown
from cascade.domain.state import Channel, Success


DEADLINE = 72 * 3600  # seconds, of messages whose policy and caller name none
LONGEST = 30 * 86_400  # seconds, of any duration
INLINE = "inline-"  # begins the names of policies that were written in Python

_DURATION = re.compile(r"(\d{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_STEP_FIELDS = frozenset({"channel", "ttl", "success", "max_wait"})
_POLICY_FIELDS = frozenset({"steps", "deadline"})


class PolicyStep(TypedDict, total=False):
    """One step as it is written in Python, in the words of `policies.toml`."""

    channel: Required[str]
    ttl: Required[str]  # 15s, 10m, 1h, 1d
    success: str  # delivered (the default) or read
    max_wait: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFacts:
    """What the checks must know of the account that serves a channel; times in seconds."""

    account: str
    ttl_minimum: int  # 0 where the provider takes no TTL per message
    ttl_maximum: int
    read_receipts: bool
    late_delivery: bool  # the provider may deliver after our TTL


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
    """A named, immutable version of an ordered list of steps.

    `deadline` is what a message has that names none: seconds from its acceptance, or its `send_at`.
    """

    name: str
    steps: tuple[Step, ...]
    deadline: int = DEADLINE


def seconds(given: object) -> int:
    """`15s`, `10m`, `1h`, `7d` in seconds; raises ValueError for anything else, for zero, and for
    more than 30 days.
    """
    match = _DURATION.fullmatch(given) if isinstance(given, str) else None
    if match is None or int(match[1]) == 0:
        msg = "not a duration such as 15s, 10m, 1h or 1d"
        raise ValueError(msg)
    found = int(match[1]) * _SECONDS[match[2]]
    if found > LONGEST:
        msg = "longer than 30d"
        raise ValueError(msg)
    return found


def duration(seconds: int) -> str:
    """`90s`, `15m`, `36h`, `7d`: the greatest unit that divides it."""
    fitting = (unit for unit, size in _SECONDS.items() if seconds % size == 0 and seconds)
    unit = max(fitting, key=lambda unit: _SECONDS[unit], default="s")
    return f"{seconds // _SECONDS[unit]}{unit}"


def read_policies(
    source: str, document: Mapping[str, Any], channels: Mapping[Channel, ChannelFacts]
) -> list[Policy]:
    """The policies of a parsed TOML file; `source` is its name for messages.

    Raises ConfigurationError naming file, policy, step and cure.
    """
    _check_fields(source, document, frozenset({"policies"}))
    policies = _table(f"{source}: policies", document.get("policies", {}))
    return [
        _policy(f"{source}: policy {name!r}", name, policy, channels)
        for name, policy in policies.items()
    ]


def inline_policy(steps: object, channels: Mapping[Channel, ChannelFacts]) -> Policy:
    """The policy that an app has written as a list of PolicyStep; its name follows from what it
    says, so equal ones are one. Whether its steps have time is asked per message.

    Raises InvalidInputError naming step, problem and cure.
    """
    with _as_input():
        checked = _steps("policy", steps, channels)
    name = hashlib.sha256(repr(checked).encode()).hexdigest()[:16]
    return Policy(name=f"{INLINE}{name}", steps=checked)


def check_inline_time(policy: Policy, window: int, *, tolerance: int) -> None:
    """Whether every step has its time within `window` seconds, and some more; raises
    InvalidInputError.
    """
    with _as_input():
        _check_time("policy", policy.steps, window, tolerance=tolerance)


@contextmanager
def _as_input() -> Iterator[None]:
    """What an app has written is input, not configuration."""
    try:
        yield
    except ConfigurationError as error:
        raise InvalidInputError(error.field, error.problem, error.cure) from None


def notes(policy: Policy, channels: Mapping[Channel, ChannelFacts]) -> list[str]:
    """What is allowed, and better known; one line each."""
    return [
        f"policy {policy.name!r}, step {place}: late delivery possible, since {step.channel} by"
        f" {step.account} may deliver after the step's time is over"
        for place, step in enumerate(policy.steps, 1)
        if channels[step.channel].late_delivery and place < len(policy.steps)
    ]


def _policy(
    where: str, name: str, policy: object, channels: Mapping[Channel, ChannelFacts]
) -> Policy:
    if name.startswith(INLINE):
        raise ConfigurationError(
            where, f"names with {INLINE} belong to policies of Python", "choose another name"
        )
    table = _table(where, policy)
    _check_fields(where, table, _POLICY_FIELDS)
    steps = _steps(where, table.get("steps"), channels)
    given = table.get("deadline")
    deadline = DEADLINE if given is None else _seconds(f"{where}, deadline", given)
    _check_time(where, steps, deadline)
    return Policy(name=name, steps=steps, deadline=deadline)


def _check_fields(where: str, table: Mapping[str, Any], known: frozenset[str]) -> None:
    for unknown in sorted(set(table) - known):
        raise ConfigurationError(
            f"{where}, {unknown}", "no such field", f"use {', '.join(sorted(known))}"
        )


def _check_time(where: str, steps: tuple[Step, ...], deadline: int, *, tolerance: int = 0) -> None:
    """Every step must fit into the deadline, even if each before it takes all its time."""
    spent = 0
    for place, step in enumerate(steps, 1):
        if step.ttl_minimum > deadline + tolerance:
            raise ConfigurationError(
                f"{where}, step {place}",
                f"it can never run: {step.channel} by {step.account} takes"
                f" {duration(step.ttl_minimum)} at least, and the deadline is {duration(deadline)}",
                "remove the step, or give a later deadline",
            )
        spent += step.ttl
        if spent > deadline + tolerance:
            raise ConfigurationError(
                f"{where}, step {place}",
                f"the times up to here sum to {duration(spent)}, beyond the deadline of"
                f" {duration(deadline)}",
                "shorten them, or give a later deadline",
            )


def _table(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(where, "it is no table", "write it as a TOML table")
    return value


def _steps(where: str, rows: object, channels: Mapping[Channel, ChannelFacts]) -> tuple[Step, ...]:
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
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
    _check_fields(where, row, _STEP_FIELDS)
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


def _seconds(where: str, given: object) -> int:
    if given is None:
        raise ConfigurationError(where, "there is none", "write for example 15s, 1h or 7d")
    try:
        return seconds(given)
    except ValueError as error:
        raise ConfigurationError(where, str(error), "write for example 15s, 1h or 7d") from None


def _channel(
    where: str, name: object, channels: Mapping[Channel, ChannelFacts]
) -> tuple[Channel, ChannelFacts]:
    for channel, facts in channels.items():
        if channel.value == name:
            return channel, facts
    raise ConfigurationError(
        f"{where}, channel",
        f"{shown(name)} is served by no account",
        f"use one of {', '.join(sorted(channels))}",
    )


def _check_ttl(where: str, ttl: int, channel: Channel, facts: ChannelFacts) -> None:
    if ttl < facts.ttl_minimum:
        raise ConfigurationError(
            where,
            f"{duration(ttl)} is below what {channel} by {facts.account} takes",
            f"give at least {duration(facts.ttl_minimum)}",
        )
    if ttl > facts.ttl_maximum:
        raise ConfigurationError(
            where,
            f"{duration(ttl)} is above what {channel} by {facts.account} takes",
            f"give at most {duration(facts.ttl_maximum)}",
        )


def _success(where: str, name: object, channel: Channel, facts: ChannelFacts) -> Success:
    if name not in tuple(Success):
        raise ConfigurationError(
            f"{where}, success", f"{shown(name)} is no success", "use delivered or read"
        )
    if name == Success.READ and not facts.read_receipts:
        raise ConfigurationError(
            f"{where}, success",
            f"{channel} by {facts.account} has no read receipts",
            "use delivered",
        )
    return Success(str(name))
