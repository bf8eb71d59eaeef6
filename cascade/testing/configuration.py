"""What a deployment is configured with: the files of a directory, or policies written in Python."""

from __future__ import annotations

import datetime as dt
import tempfile

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from cascade.channels.base import Capabilities
from cascade.channels.registry import load_capabilities
from cascade.domain.money import Rate
from cascade.domain.policy import ChannelFacts, Policy, PolicyStep, read_policies
from cascade.domain.state import Channel
from cascade.services.sync import load_channels, load_policies, load_rates


# What policies that are given inline are checked against; nothing real is called.
_PROVIDERS = """
[accounts.notify-vk]
provider = "notify"
channel = "vk"
[accounts.notify-ok]
provider = "notify"
channel = "ok"
[accounts.devino-viber]
provider = "devino"
channel = "viber"
[accounts.cloud-whatsapp]
provider = "cloud"
channel = "whatsapp"
[accounts.smsc]
provider = "smsc"
channel = "sms"
"""

_LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

PolicySteps = Mapping[str, Sequence[PolicyStep]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Checked policies, what their channels can do, and what they cost."""

    policies: Sequence[Policy]
    channels: Mapping[Channel, ChannelFacts]
    capabilities: Mapping[str, tuple[Channel, Capabilities]]  # by account
    rates: Sequence[Rate]


def configured(config: Path | PolicySteps) -> Configuration:
    """`config`: a directory with `policies.toml`, `providers.toml` and `rates.csv`; or policies by
    name, each a list of steps, without rates. Raises ConfigurationError.
    """
    if isinstance(config, Path):
        return Configuration(
            policies=load_policies(config),
            channels=load_channels(config),
            capabilities=load_capabilities(config / "providers.toml"),
            rates=load_rates(config),
        )
    with tempfile.TemporaryDirectory(prefix="cascade-testing-") as home:
        path = Path(home) / "providers.toml"
        path.write_text(_PROVIDERS, "utf-8")
        channels, capabilities = load_channels(Path(home)), load_capabilities(path)
    document = {"policies": {name: {"steps": steps} for name, steps in config.items()}}
    policies = read_policies("policies", document, channels)
    return Configuration(policies=policies, channels=channels, capabilities=capabilities, rates=())


def rates_of(
    prices: Mapping[str, str], capabilities: Mapping[str, tuple[Channel, Capabilities]]
) -> list[Rate]:
    """Prices by channel, in roubles for every number, as rates of its accounts."""
    served = [(*found, account) for account, found in capabilities.items() if found[0] in prices]
    return [
        Rate(
            account=account,
            channel=channel,
            prefix=f"+{digit}",
            unit=able.price_unit,
            price=Decimal(prices[channel]),
            currency="RUB",
            valid_from=_LONG_AGO,
        )
        for channel, able, account in served
        for digit in range(1, 10)
    ]
