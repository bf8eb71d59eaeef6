"""The last released schema is brought up to the newest while services of that release go on.

What such a service writes is known by its schema: every column that it had, and no other. That is
also what a worker of the release before does on the newer schema.
"""

from __future__ import annotations

import time

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from cascade.storage.database import connect, transaction
from cascade.storage.migrate import configuration, upgrade


pytestmark = pytest.mark.integration

RELEASED = "0003"
LOCK_TIMEOUT = 0.5  # seconds of the migration
SLACK = 1.5  # seconds for the rest of a transaction on a busy machine

SEED = """
    INSERT INTO cascade.policies (name, version, steps) VALUES ('default', 1, '[]');
    INSERT INTO cascade.messages (id, sender, recipient, recipient_hash, content, policy_id, lane,
        state, deadline, created_at)
    SELECT gen_random_uuid(), 'default', 'x', 'x', 'x', id, 'normal', 'in_progress', now(), now()
    FROM cascade.policies;
    INSERT INTO cascade.attempts (message_id, step, channel, account, state, lane, ttl,
        ttl_minimum, due_at, expires_at, client_ref, created_at)
    SELECT id, 0, 'vk', 'notify-vk', 'queued', 'normal', 60, 15, now(), now(), 'ref', now()
    FROM cascade.messages;
    INSERT INTO cascade.provider_refs (account, ref, attempt_id, part, try)
    SELECT 'notify-vk', 'ref', id, 0, 1 FROM cascade.attempts;
    INSERT INTO cascade.receipts (account, client_ref, status, native_status, raw, dedupe_key)
    VALUES ('notify-vk', 'ref', 'delivered', 'delivered', 'x', 'x');
    INSERT INTO cascade.charges (attempt_id, units, occurred_at)
    SELECT id, 1, now() FROM cascade.attempts;
    INSERT INTO cascade.events (message_id, sequence, state, happened_at)
    SELECT id, 1, 'delivered', now() FROM cascade.messages;
"""

COLUMNS = text("""
    SELECT table_name || '.' || column_name AS name, data_type, udt_name,
        is_nullable = 'YES' AS is_nullable,
        column_default IS NOT NULL OR is_identity = 'YES' AS is_filled_in,
        is_identity = 'YES' AS is_identity
    FROM information_schema.columns WHERE table_schema = 'cascade'
    ORDER BY table_name, ordinal_position
""")


@pytest.fixture
def released(bare_engine: Engine) -> Engine:
    """A database as the last release left it, with a row in every table that grows."""
    upgrade(bare_engine, RELEASED)
    with bare_engine.begin() as connection:
        connection.execute(text(SEED))
    return bare_engine


@pytest.fixture
def services(bare_database_url: str) -> Iterator[Engine]:
    engine = connect(bare_database_url, pool_size=4)
    yield engine
    engine.dispose()


def columns(engine: Engine) -> dict[str, Any]:
    """By `table.column`."""
    with engine.begin() as connection:
        return {row.name: row for row in connection.execute(COLUMNS)}


@dataclass(slots=True)
class Traffic:
    """What a service of the released version does, over and over."""

    engine: Engine
    known: Mapping[str, Any]
    stopped: Event = field(default_factory=Event)
    longest: float = 0.0  # seconds of a transaction
    rounds: int = 0

    def run(self) -> None:
        """Ends when it is stopped, or with the first error."""
        while not self.stopped.is_set():
            began_at = time.monotonic()
            transaction(self.engine, self.go_round)
            self.longest = max(self.longest, time.monotonic() - began_at)
            self.rounds += 1

    def run_on(self, *, rounds: int) -> None:
        """Lets it run so much longer, then ends it."""
        end, stop_at = self.rounds + rounds, time.monotonic() + 20
        while self.rounds < end and time.monotonic() < stop_at:
            self.stopped.wait(0.01)
        self.stopped.set()

    def go_round(self, connection: Connection) -> None:
        """Writes all that a message brings with it, then looks at it again."""
        message = self._again(connection, "messages", {"id": "gen_random_uuid()"})
        new = {
            "message_id": f"'{message}'",
            "client_ref": "gen_random_uuid()",
            "dedupe_key": "uuid_send(gen_random_uuid())",
        }
        new["attempt_id"] = str(self._again(connection, "attempts", new))
        for table in ("provider_refs", "receipts", "charges", "events"):
            self._again(connection, table, new)
        for statement in (
            "SELECT FROM cascade.messages WHERE id = {message_id} FOR NO KEY UPDATE",
            "UPDATE cascade.attempts SET state = 'sent' WHERE id = {attempt_id}",
            "UPDATE cascade.receipts SET due_at = NULL WHERE attempt_id = {attempt_id}",
        ):
            connection.execute(text(statement.format(**new)))

    def _again(self, connection: Connection, table: str, new: Mapping[str, str]) -> object:
        """The table's first row once more, with these values instead; its id."""
        known = [one for name, one in self.known.items() if name.startswith(f"{table}.")]
        names = [one.name.partition(".")[2] for one in known if not one.is_identity]
        values = ", ".join(new.get(name, name) for name in names)
        statement = (
            f"INSERT INTO cascade.{table} ({', '.join(names)})"  # noqa: S608  # the schema's names
            f" SELECT {values} FROM cascade.{table} ORDER BY ctid LIMIT 1"
            f" RETURNING {known[0].name.partition('.')[2]}"
        )
        return connection.execute(text(statement)).scalar_one()


def test_traffic_goes_on_while_the_schema_is_brought_up_to_the_newest(
    released: Engine, services: Engine
) -> None:
    traffic = Traffic(services, columns(released))
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(traffic.run) for _ in range(2)]
        upgrade(released, lock_timeout=LOCK_TIMEOUT, patience=30)
        traffic.run_on(rounds=20)
        for one in running:
            one.result()

    with released.begin() as connection:
        newest = ScriptDirectory.from_config(configuration(connection)).get_current_head()
        found = connection.execute(text("SELECT version_num FROM cascade.alembic_version"))
        assert found.scalar_one() == newest
    assert traffic.rounds > 20
    assert traffic.longest < LOCK_TIMEOUT + SLACK


def test_what_the_released_version_writes_is_all_that_the_newest_schema_needs(
    released: Engine,
) -> None:
    before = columns(released)
    upgrade(released)
    after = columns(released)

    tables = {name.partition(".")[0] for name in before}
    for name, one in after.items():
        is_new = name not in before and name.partition(".")[0] in tables
        assert not is_new or one.is_nullable or one.is_filled_in, f"{name} must be written"
    for name, one in before.items():
        assert name in after, f"{name} is gone"
        assert after[name].udt_name == one.udt_name, f"{name} has another type"
        assert after[name].is_nullable >= one.is_nullable, f"{name} may not be null any more"
        assert after[name].is_filled_in >= one.is_filled_in, f"{name} has no default any more"
