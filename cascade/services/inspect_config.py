"""Looking over the config files without a database: every problem, and what is better known."""

from __future__ import annotations

import datetime as dt
import itertools
import tomllib

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cascade.channels.base import Capabilities
from cascade.channels.registry import load_capabilities
from cascade.domain.errors import ConfigurationError
from cascade.domain.money import Rate, RateBook
from cascade.domain.policy import Policy, notes, read_policies
from cascade.domain.state import Channel
from cascade.services.finding import problems
from cascade.services.sync import load_channels, load_policies, load_rates


HOME = "+7"  # where every channel must have a price
PAIRS = 3  # of nested prefixes that are named

Accounts = Mapping[str, tuple[Channel, Capabilities]]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Problems must be mended; notes may stay. `count` is how many policies or rates there are."""

    count: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def inspect_policies(config_dir: Path) -> Inspection:
    """Looks over `policies.toml`, by what the accounts of `providers.toml` can do."""
    try:
        channels = load_channels(config_dir)
        policies = load_policies(config_dir)
    except ConfigurationError as error:
        return Inspection(problems=_of_each_policy(config_dir) or problems(error))
    return Inspection(
        len(policies), notes=[note for policy in policies for note in notes(policy, channels)]
    )


def inspect_rates(config_dir: Path, at: dt.datetime) -> Inspection:
    """Looks over `rates.csv`, by the accounts and the policies; `at` is now."""
    try:
        rates = load_rates(config_dir)
        accounts = load_capabilities(config_dir / "providers.toml")
        policies = load_policies(config_dir)
    except ConfigurationError as error:
        return Inspection(problems=problems(error))
    except OSError:
        cure = "let CASCADE_CONFIG_DIR name the directory that it is in"
        return Inspection(problems=[f"{config_dir / 'rates.csv'}: it cannot be read; {cure}"])
    except UnicodeDecodeError:
        return Inspection(problems=["rates.csv: it is not UTF-8; save it as UTF-8"])
    return Inspection(
        len(rates),
        problems=[*_without_rate(rates, accounts, policies, at)],
        notes=[*_unused(rates, accounts), *_other_unit(rates, accounts), *_nested(rates, at)],
    )


def _of_each_policy(config_dir: Path) -> list[str]:
    """The first problem of each policy; empty where the files do not allow to look at them."""
    found: list[str] = []
    try:
        channels = load_channels(config_dir)
        path = config_dir / "policies.toml"
        policies = tomllib.loads(path.read_text("utf-8"))["policies"].items()
    except (ConfigurationError, OSError, ValueError, KeyError, AttributeError):
        return found
    for name, policy in policies:
        try:
            read_policies(path.name, {"policies": {name: policy}}, channels)
        except ConfigurationError as error:
            found += problems(error)
    return found


def _without_rate(
    rates: Iterable[Rate], accounts: Accounts, policies: Sequence[Policy], at: dt.datetime
) -> Iterator[str]:
    book = RateBook(rates)
    for account, (channel, able) in accounts.items():
        if book.rate_for(account=account, channel=channel, phone=HOME, at=at) is None:
            yield (
                f"rates.csv: {channel} by {account}{_used_by(account, policies)} has no rate for"
                f" {HOME} in force; add a row such as"
                f" {account},{channel},{HOME},{able.price_unit},<price>,RUB,{at:%Y-%m-%d}T00:00:00Z"
            )


def _used_by(account: str, policies: Sequence[Policy]) -> str:
    steps = [
        f"{policy.name!r} step {place}"
        for policy in policies
        for place, step in enumerate(policy.steps, 1)
        if step.account == account
    ]
    return f" ({', '.join(steps)})" if steps else ""


def _unused(rates: Iterable[Rate], accounts: Accounts) -> Iterator[str]:
    known = {(account, channel) for account, (channel, _) in accounts.items()}
    for account, channel in sorted({(rate.account, rate.channel) for rate in rates} - known):
        yield f"rates.csv: no account of providers.toml is {account} on {channel}; never used"


def _other_unit(rates: Iterable[Rate], accounts: Accounts) -> Iterator[str]:
    for account, unit in sorted({(rate.account, rate.unit) for rate in rates}):
        bills = accounts[account][1].price_unit if account in accounts else unit
        if unit != bills:
            yield f"rates.csv: {account} bills by {bills}, and a rate of it counts by {unit}"


def _nested(rates: Iterable[Rate], at: dt.datetime) -> Iterator[str]:
    """Prefixes within others, all in one line: they are no mistake most of the time."""
    prefixes: dict[str, set[str]] = defaultdict(set)
    for rate in rates:
        if rate.valid_from <= at:
            prefixes[rate.account].add(rate.prefix)
    accounts = Counter(pair for ours in prefixes.values() for pair in _pairs(ours))
    told = [
        f"{inner} within {outer} ({count} account{'s' if count > 1 else ''})"
        for (outer, inner), count in sorted(accounts.items())
    ]
    if told:
        rest = [f"and {len(told) - PAIRS} more"] if len(told) > PAIRS else []
        yield (
            "rates.csv: the longest prefix counts, which is how a country gets its own price:"
            f" {'; '.join(told[:PAIRS] + rest)}"
        )


def _pairs(prefixes: Collection[str]) -> Iterator[tuple[str, str]]:
    """The outer and the inner one."""
    for outer, inner in itertools.permutations(prefixes, 2):
        if inner.startswith(outer):
            yield outer, inner
