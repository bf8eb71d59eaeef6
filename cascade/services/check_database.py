"""Checks that ask the database."""

from __future__ import annotations

import os
import time

from dataclasses import replace

from sqlalchemy import Connection

from cascade.callbacks.endpoints import load_names
from cascade.domain.errors import shown
from cascade.services.check_config import CallbackSettings, ConfigSettings
from cascade.services.finding import Finding, Health, graded, ok, red, span, warning
from cascade.services.reseal import KeySettings
from cascade.services.sealed import open_recipient
from cascade.services.sync import load_channels, load_policies, load_rates
from cascade.settings import load
from cascade.storage import health
from cascade.storage.catalogue import newest_of, stored_rates
from cascade.storage.database import now
from cascade.storage.endpoints import endpoint_names
from cascade.storage.events import callbacks_state, owed_brokers
from cascade.storage.policies import channel_facts
from cascade.storage.reseal import key_id_of
from cascade.storage.sealing import UnknownKeyError, UnsealableError


OLDEST_SERVER = 140_000  # PostgreSQL 14
SAMPLE = 50  # of the newest, and of the oldest, rows whose seals are tried

# Seconds above which it is a warning, and above which it is red.
CLOCK = (1.0, 5.0)
TICK = (5.0, 10.0)
DUE = (15.0, 60.0)
RECEIPTS = (5.0, 60.0)  # from the first on, expiries wait
CALLBACKS = (15.0, 300.0)
TRANSACTION = (60.0, 600.0)


def server(connection: Connection) -> Finding:
    """It answers, is not too old, and takes writes."""
    asked_at = time.monotonic()
    found = health.server(connection)
    spent = (time.monotonic() - asked_at) * 1000
    major, minor = divmod(found.version, 10_000)
    seen = f"PostgreSQL {major}.{minor} answers in {spent:.1f} ms"
    if found.version < OLDEST_SERVER:
        return red(f"PostgreSQL {major} is too old", "move to PostgreSQL 14 or later")
    if found.is_read_only:
        cure = "give CASCADE_DATABASE_URL the primary's address"
        return red(f"PostgreSQL {major}.{minor} takes no writes", cure)
    return ok(seen)


def migrated(connection: Connection) -> Finding:
    """The schema is that of this code."""
    # Here, since health checks start often, and Alembic takes longer to load than they to look.
    from alembic.script import ScriptDirectory  # noqa: PLC0415  # see above

    from cascade.storage.migrate import configuration  # noqa: PLC0415  # see above

    ours = ScriptDirectory.from_config(configuration(connection))
    head, found = ours.get_current_head(), health.revision(connection)
    if found == head:
        return ok(f"revision {found}")
    if found is None:
        return red("there is no schema yet", "run `cascade migrate`")
    if found not in {script.revision for script in ours.walk_revisions()}:
        seen = f"revision {found} is newer than this code, which knows {head}"
        return warning(seen, "deploy the newer code here too")
    return red(f"revision {found}, but this code needs {head}", "run `cascade migrate`")


def clock(connection: Connection) -> Finding:
    """The time of this machine against the database's."""
    before = time.time()
    theirs = now(connection).timestamp()
    after = time.time()
    # What the answer's way may account for does not count.
    apart = max(0.0, abs(theirs - (before + after) / 2) - (after - before) / 2)
    return graded(
        apart,
        f"{span(apart)} from the database's",
        "set the clocks of this machine and the database's by NTP, for example chrony",
        warn_above=CLOCK[0],
        red_above=CLOCK[1],
    )


def offset(connection: Connection) -> Finding:
    """Only tests move the shared time."""
    moved = health.clock_offset(connection)
    if moved == 0:
        return ok("not moved (only tests move it)")
    sign = "ahead of" if moved > 0 else "behind"
    cure = "only tests move it: UPDATE cascade.clock_offset SET offset_by = '0'"
    return red(f"the shared time is {span(abs(moved))} {sign} the server's", cure)


def tick(connection: Connection) -> Finding:
    """The heart beats."""
    age = health.since_tick(connection)
    cure = "see that beat and the worker of queue `tick` run, and read their logs"
    if age is None:
        return red("nothing has ever ticked", cure)
    seen = f"the last one {span(max(0.0, age))} ago"
    return graded(age, seen, cure, warn_above=TICK[0], red_above=TICK[1])


def synced(connection: Connection) -> Finding:
    """The database says the same as the files."""
    config_dir = load(ConfigSettings).config_dir
    cure = "run `cascade policies sync`; beat does it every minute"
    policies = load_policies(config_dir)
    stored = newest_of(connection, [one.name for one in policies])
    missing = [one.name for one in policies if one.name not in stored]
    if missing:
        return red(f"not in the database: {', '.join(sorted(missing))}", cure)
    prices = {replace(rate, id=None) for rate in stored_rates(connection)}
    new_rates = sum(rate not in prices for rate in load_rates(config_dir))
    differing = [f"policy {one.name}" for one in policies if one != stored[one.name]]
    differing += [f"{new_rates} rates"] if new_rates else []
    if load_channels(config_dir) != channel_facts(connection):
        differing.append("channels")
    if set(load_names(config_dir)) != endpoint_names(connection):
        differing.append("endpoints")
    if differing:
        return warning(f"the files say something else of: {', '.join(differing)}", cure)
    return ok(f"{len(policies)} policies, rates, channels and endpoints are those of the files")


def due(connection: Connection) -> Finding:
    """How late the tick is."""
    lags = health.due_lags(connection)
    return graded(
        max(lags.values()),
        ", ".join(f"{lane} {span(lag)}" for lane, lag in lags.items()),
        "see that the tick's worker keeps up and that receipts are applied; read the tick's log",
        warn_above=DUE[0],
        red_above=DUE[1],
    )


def receipts(connection: Connection) -> Finding:
    """How late the collector is."""
    lag = health.receipts_lag(connection)
    return graded(
        lag,
        f"the oldest has waited {span(lag)}",
        "see that the collector's worker (queue `receipts.collect`) runs; give it more children",
        warn_above=RECEIPTS[0],
        red_above=RECEIPTS[1],
    )


def set_aside(connection: Connection) -> Finding:
    """Receipts without an attempt."""
    count = health.set_aside(connection)
    cure = "compare with the provider's record: they name messages that are not known here"
    return warning(f"{count:,} receipts found no attempt", cure) if count else ok("none")


def unrated(connection: Connection) -> Finding:
    """Deliveries without a price."""
    count = health.unrated(connection)
    cure = "add the rates that `cascade rates check` misses, and price these charges by hand"
    return warning(f"{count:,} charges have no amount", cure) if count else ok("none")


def callbacks(connection: Connection) -> Finding:
    """Callers hear of their messages."""
    found = callbacks_state(connection)
    if found.given_up:
        cure = "see that the callers' brokers and queues are those they named, and by `cascade callbacks list` that endpoints answer"
        return warning(f"{found.given_up:,} given up, {found.owed:,} owed", cure)
    unknown = _unknown_brokers(connection)
    if unknown:
        return graded(
            found.lag,
            f"{found.owed:,} owed, of them to brokers without an address: {', '.join(unknown)}",
            "give each its name=address in CASCADE_CALLBACK_BROKERS, and start the workers again",
            warn_above=-1,
            red_above=CALLBACKS[1],
        )
    return graded(
        found.lag,
        f"{found.owed:,} owed, the oldest late by {span(found.lag)}",
        "see that the worker of queue `callbacks.call` runs, and that the brokers of CASCADE_CALLBACK_BROKERS answer",
        warn_above=CALLBACKS[0],
        red_above=CALLBACKS[1],
    )


def _unknown_brokers(connection: Connection) -> list[str]:
    """Brokers that events are owed to, and that this environment does not name, if it names any."""
    if "CASCADE_CALLBACK_BROKERS" not in os.environ:
        return []
    named = load(CallbackSettings).callback_brokers
    return [shown(one) for one in owed_brokers(connection) if one not in named]


def transactions(connection: Connection) -> Finding:
    """What keeps old rows from being cleaned up, and events from being read."""
    found = of_transaction(health.oldest_transaction(connection))
    hidden = health.hidden(connection)
    if found.state is not Health.OK or not hidden.sessions:
        return found
    seen = f"{found.seen}, but {hidden.sessions} sessions of other roles cannot be looked into"
    return warning(seen, f"let it, as a superuser: GRANT pg_read_all_stats TO {hidden.role}")


def of_transaction(oldest: health.OpenTransaction | None) -> Finding:
    """Judges the oldest one that is open."""
    if oldest is None:
        return ok("none is open")
    return graded(
        oldest.age,
        f"the oldest is {span(max(0.0, oldest.age))} old ({oldest.state})",
        f"find out whose it is, and end it: SELECT pg_terminate_backend({oldest.pid})",
        warn_above=TRANSACTION[0],
        red_above=TRANSACTION[1],
    )


def keys(connection: Connection) -> Finding:
    """The keys given here open what stands in the database."""
    keyring = load(KeySettings).keyring()
    messages = health.sealed_messages(connection, SAMPLE)
    receipts = health.sealed_receipts(connection, SAMPLE)
    hashes_fit = True
    for message in messages:
        try:
            phone = open_recipient(keyring, message.id, message.recipient)
        except UnsealableError as error:
            return _closed(error, message.recipient)
        hashes_fit &= keyring.hash(phone.encode()) == message.recipient_hash
    for receipt in receipts:
        try:
            keyring.open(receipt.raw, f"receipt:{receipt.account}")
        except UnsealableError as error:
            return _closed(error, receipt.raw)
    if not hashes_fit:
        cure = "set CASCADE_HASH_KEY to its first value again: it does not rotate"
        return red("recipients were hashed by another hash key", cure)
    tried = len(messages) + len(receipts)
    return ok(f"they open {tried} rows, the newest and the oldest" if tried else "no row yet")


def _closed(error: UnsealableError, sealed: bytes) -> Finding:
    key_id = key_id_of(sealed)
    if isinstance(error, UnknownKeyError):
        cure = "put it back into CASCADE_SEAL_KEYS, behind the first"
        return red(f"there are rows of key {key_id!r}, which is not given here", cure)
    cure = f"give {key_id!r} its first value again in CASCADE_SEAL_KEYS"
    return red(f"key {key_id!r} does not open a row that it sealed", cure)
