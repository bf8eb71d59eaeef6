"""Checks of where providers' limits are kept."""

from __future__ import annotations

import os

from cascade.channels.limits import limits_at
from cascade.channels.registry import limits_of, load_accounts
from cascade.domain.errors import ConfigurationError
from cascade.services.admit import RANKS
from cascade.services.check_config import ConfigSettings
from cascade.services.finding import Finding, ok, red
from cascade.settings import LimitSettings, load


def limits() -> Finding:
    """There is a Redis or Valkey that keeps them, and it answers."""
    ours = load(ConfigSettings)
    accounts = limits_of(
        load_accounts(
            ours.config_dir / "providers.toml", environ=os.environ, gateway_url=ours.gateway_url
        )
    )
    try:
        kept = limits_at(load(LimitSettings).limits_address, accounts, ranks=RANKS)
    except ConfigurationError as error:
        return red(error.problem, error.cure)
    if kept is None:
        return ok("no account has one")
    if not kept.answers():
        return red(
            "their server does not answer, so that nobody keeps to them",
            "start it, or mend CASCADE_LIMITS_URL (if it is not set, CASCADE_BROKER_URL)",
        )
    return ok(f"kept for {', '.join(accounts)}")
