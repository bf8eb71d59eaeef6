"""What every service works with in one process."""

from __future__ import annotations

import datetime as dt
import random
import time

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from cascade.domain.hint import Hint
from cascade.storage.charges import Rates
from cascade.storage.policies import PolicyVersions
from cascade.storage.postgres import PostgresStore
from cascade.storage.sealing import Keyring
from cascade.storage.store import Store


if TYPE_CHECKING:  # apps that only enqueue need no HTTP client
    from cascade.channels.base import Adapter, Item, Pending
    from cascade.channels.limits import Limits
    from cascade.channels.transport import Transport


CALL_DEADLINE = 4.0  # seconds in all for one call to a provider
LEASE = CALL_DEADLINE + 5.0  # seconds from the claim until others may judge the attempt
SETTLE_PATIENCE = 8.0  # seconds for which settling is tried again on database faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """All that delivering needs: the store, and the keys that make sense of what is sealed in it."""

    store: Store
    keyring: Keyring
    publish: Callable[[Iterable[Hint]], int]  # after the commit
    monotonic: Callable[[], float] = time.monotonic  # this process's own time, in seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger(Records):
    """Records in the database, which reports, checks and the feed of events read directly."""

    engine: Engine
    versions: PolicyVersions = field(default_factory=PolicyVersions)
    rates: Rates = field(default_factory=Rates)
    store: PostgresStore = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", PostgresStore(self.engine, self.versions, self.rates))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A worker's view: the ledger, the providers' accounts and the way to call them."""

    ledger: Records
    adapters: Mapping[str, Adapter]  # by account
    transport: Transport[Item]
    poll_transport: Transport[Pending]
    limits: Limits | None = None  # of accounts, kept across all workers; None: no account has any
    jitter: Callable[[], float] = random.random  # 0 … 1: spreads a crowd of retries


def seconds(value: float) -> dt.timedelta:
    """`value` seconds as an interval."""
    return dt.timedelta(seconds=value)
