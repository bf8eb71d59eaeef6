"""Bringing the config files into the database: policies as new versions, rates as new rows, what
the channels are able to do, and the names of endpoints.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sqlalchemy import Connection, Engine

from cascade.callbacks.endpoints import load_names
from cascade.channels.registry import account_for, load_capabilities, read_toml
from cascade.domain.money import Rate, read_rates
from cascade.domain.policy import ChannelFacts, Policy, read_policies
from cascade.domain.state import Channel
from cascade.storage.charges import sync_rates
from cascade.storage.database import transaction
from cascade.storage.endpoints import sync_endpoints
from cascade.storage.policies import sync as sync_policies, sync_channels


def sync(engine: Engine, config_dir: Path) -> Counter[str]:
    """Checks `policies.toml`, `rates.csv` and `endpoints.toml`, and writes what is new.

    Raises ConfigurationError that names file, place, problem and cure; nothing is written then.
    """
    channels = load_channels(config_dir)
    policies = load_policies(config_dir)
    rates = load_rates(config_dir)
    endpoints = load_names(config_dir)

    def work(connection: Connection) -> Counter[str]:
        sync_channels(connection, channels)
        sync_endpoints(connection, endpoints)
        return Counter(
            policies=len(sync_policies(connection, policies)), rates=sync_rates(connection, rates)
        )

    return transaction(engine, work)


def load_policies(config_dir: Path) -> list[Policy]:
    """The policies of `policies.toml`, checked against the accounts of `providers.toml`."""
    path = config_dir / "policies.toml"
    return read_policies(path.name, read_toml(path), load_channels(config_dir))


def load_rates(config_dir: Path) -> list[Rate]:
    """The rates of `rates.csv`."""
    path = config_dir / "rates.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        return read_rates(lines, source=path.name)


def load_channels(config_dir: Path) -> dict[Channel, ChannelFacts]:
    """What the checks must know of each channel: its account comes from the order of the file."""
    capabilities = load_capabilities(config_dir / "providers.toml")
    channels: dict[Channel, ChannelFacts] = {}
    for channel in Channel:
        account = account_for(channel, capabilities)
        if account is not None:
            able = capabilities[account][1]
            channels[channel] = ChannelFacts(
                account=account,
                ttl_minimum=able.ttl_minimum,
                ttl_maximum=able.ttl_maximum,
                read_receipts=able.read_receipts,
                late_delivery=able.late_delivery,
            )
    return channels
