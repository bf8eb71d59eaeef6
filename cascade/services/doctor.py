"""Looking a deployment over: every check, bounded in time, and none that ends the others."""

from __future__ import annotations

import functools

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from types import MappingProxyType

from sqlalchemy import Connection, Engine

from cascade.services import (
    check_broker,
    check_config,
    check_database,
    check_endpoints,
    check_limits,
)
from cascade.services.finding import Finding, Health, red, warning
from cascade.services.reason import finding_of
from cascade.settings import DatabaseSettings, load
from cascade.storage.health import connect_briefly


PATIENCE = 3.0  # seconds for one check, whatever hangs


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of the doctor: `seen` is the state of things, `cure` what to do where it is not well."""

    name: str
    state: Health
    seen: str
    cure: str


class _Database:
    """A connection for each check, by the environment's address."""

    @functools.cached_property
    def _engine(self) -> Engine:
        return connect_briefly(load(DatabaseSettings).database_url.get_secret_value())

    def ask(self, work: Callable[[Connection], Finding]) -> Finding:
        with self._engine.begin() as connection:
            return work(connection)


_FILES = MappingProxyType(
    {
        "settings": check_config.settings,
        "policies": check_config.policies,
        "providers": check_config.providers,
        "rates": check_config.rates,
        "endpoints": check_endpoints.endpoints,
    }
)
_SERVER = MappingProxyType(
    {"database": check_database.server, "migrated": check_database.migrated}
)
_SCHEMA = MappingProxyType(
    {
        "clock": check_database.clock,
        "offset": check_database.offset,
        "tick": check_database.tick,
        "synced": check_database.synced,
        "due": check_database.due,
        "receipts": check_database.receipts,
        "set-aside": check_database.set_aside,
        "unrated": check_database.unrated,
        "callbacks": check_database.callbacks,
        "webhooks": check_endpoints.webhooks,
        "transactions": check_database.transactions,
        "keys": check_database.keys,
    }
)
_BROKER = MappingProxyType(
    {
        "broker": check_broker.broker,
        "queues": check_broker.queues,
        "limits": check_limits.limits,
    }
)

NAMES = (*_FILES, *_SERVER, *_SCHEMA, *_BROKER)

# Whose trouble explains that of others: those are not looked at then.
_EXPLAINS = {
    **dict.fromkeys(["migrated", *_SCHEMA], ("database", "migrated")),
    "synced": ("database", "migrated", "policies", "rates", "endpoints"),
    "queues": ("broker",),
    "limits": ("providers",),
}


def examine(names: Collection[str] = NAMES, *, patience: float = PATIENCE) -> Iterator[Diagnosis]:
    """Runs these checks in the order of NAMES, each for `patience` seconds at most.

    Each reads the settings that it needs, and no others.
    """
    database = _Database()
    red_ones: set[str] = set()
    for name in NAMES:
        if name not in names:
            continue
        cause = next((one for one in _EXPLAINS.get(name, ()) if one in red_ones), None)
        found = _unseen(cause) if cause else _bounded(_work(name, database), patience)
        if found.state is Health.RED:
            red_ones.add(name)
        yield Diagnosis(name, found.state, found.seen, found.cure)


def _work(name: str, database: _Database) -> Callable[[], Finding]:
    alone = {**_FILES, **_BROKER}
    if name in alone:
        return alone[name]
    return functools.partial(database.ask, {**_SERVER, **_SCHEMA}[name])


def _unseen(cause: str) -> Finding:
    return warning("not looked at", f"mend `{cause}` first")


def _bounded(work: Callable[[], Finding], patience: float) -> Finding:
    """What `work` finds; a thread that hangs (in a name look-up, at a frozen server) is left alone."""
    answers: SimpleQueue[Finding] = SimpleQueue()
    Thread(target=lambda: answers.put(_safely(work)), daemon=True).start()
    try:
        return answers.get(timeout=patience)
    except Empty:
        cure = "see whether the other side is frozen or overloaded, and reachable from here"
        return red(f"no answer within {patience:g} s", cure)


def _safely(work: Callable[[], Finding]) -> Finding:
    try:
        return work()
    except Exception as error:  # noqa: BLE001  # one failing check must not end the others
        return finding_of(error)
