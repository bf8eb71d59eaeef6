from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from alembic import command
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from cascade.channels.base import Accepted
from cascade.storage.migrate import configuration, downgrade, upgrade
from cascade.storage.tables import metadata
from tests.services.journey import Journey
from tests.storage.waiting import wait_for_one_that_waits


pytestmark = pytest.mark.integration

# Everything that alembic's own comparison passes by, besides what it looks at.
SHAPE = """
    SELECT 'column', c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
        || ' ' || a.attnotnull || ' ' || CAST(a.attidentity AS text) || ' '
        || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'cascade'
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'constraint', conname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace AND n.nspname = 'cascade'
    WHERE conname <> 'alembic_version_pkc' AND contype <> 'n'
    UNION ALL
    SELECT 'index', indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'cascade' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT 'enum', typname, string_agg(enumlabel, ' ' ORDER BY enumsortorder)
    FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid GROUP BY typname
    ORDER BY 1, 2, 3
"""


def shape(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.begin() as connection:
        return [(row[0], row[1], row[2]) for row in connection.execute(text(SHAPE))]


def tables(engine: Engine) -> set[str]:
    with engine.begin() as connection:
        found = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'cascade'")
        )
        return set(found.scalars())


def test_alembic_finds_nothing_to_add_to_the_migrated_schema(engine: Engine):
    with engine.begin() as connection:
        command.check(configuration(connection))


def test_the_migrations_build_what_the_models_say_to_the_last_check(
    engine: Engine, bare_engine: Engine
):
    with bare_engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA cascade"))
        connection.execute(
            text(
                "CREATE FUNCTION cascade.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'"
            )
        )
        metadata.create_all(connection)

    assert shape(bare_engine) == shape(engine)


def test_the_schema_goes_up_down_and_up_again(engine: Engine, bare_engine: Engine):
    upgrade(bare_engine)
    downgrade(bare_engine)
    assert tables(bare_engine) == {"alembic_version"}

    upgrade(bare_engine)
    assert shape(bare_engine) == shape(engine)


def test_nothing_of_ours_stands_outside_our_schema(bare_engine: Engine):
    upgrade(bare_engine)

    with bare_engine.begin() as connection:
        found = connection.execute(
            text(
                "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE nspname = 'public'"
            )
        )
        assert found.scalar_one() == 0


def test_two_processes_that_migrate_at_once_migrate_once(bare_engine: Engine):
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(upgrade, bare_engine) for _ in range(3)]:
            done.result()

    with bare_engine.begin() as connection:
        offsets = connection.execute(text("SELECT * FROM cascade.clock_offset")).all()
        versions = connection.execute(text("SELECT * FROM cascade.alembic_version")).all()
    assert (len(offsets), len(versions)) == (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE cascade.policies SET name = 'other'",
        "DELETE FROM cascade.policies",
        "UPDATE cascade.rates SET price = 0",
        "DELETE FROM cascade.rates",
    ],
)
def test_a_policy_or_rate_is_never_changed(ledger, change: str):
    with pytest.raises(DBAPIError, match="never changed"), ledger.engine.begin() as connection:
        connection.execute(text(change))


@pytest.mark.parametrize(
    ("change", "child"),
    [
        ("DELETE FROM cascade.messages", "attempts"),
        ("DELETE FROM cascade.attempts", "charges"),
        (
            "WITH gone AS (DELETE FROM cascade.charges) DELETE FROM cascade.attempts",
            "provider_refs",
        ),
        ("WITH gone AS (DELETE FROM cascade.events) DELETE FROM cascade.messages", "attempts"),
    ],
)
def test_what_others_refer_to_is_not_deleted(journey: Journey, change: str, child: str):
    message = journey.send()
    journey.call(message, Accepted(("ref",)))
    journey.deliver(message)

    with (
        pytest.raises(IntegrityError, match=f"referred to by rows of {child}"),
        journey.engine.begin() as connection,
    ):
        connection.execute(text(change))


def test_a_message_is_deleted_together_with_all_that_refers_to_it(journey: Journey):
    message = journey.send()
    journey.call(message, Accepted(("ref",)))
    journey.deliver(message)

    deleted = journey.change(
        "WITH refs AS (DELETE FROM cascade.provider_refs),"
        " money AS (DELETE FROM cascade.charges), told AS (DELETE FROM cascade.events),"
        " tried AS (DELETE FROM cascade.attempts) DELETE FROM cascade.messages"
    )

    assert deleted == 1


def test_a_charge_that_is_being_written_keeps_its_attempt(journey: Journey):
    message = journey.send()
    attempt = journey.attempt(message).id
    booking = journey.engine.connect()
    booking.execute(
        text("SELECT FROM cascade.attempts WHERE id = :id FOR NO KEY UPDATE"), {"id": attempt}
    )

    with ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(journey.change, "DELETE FROM cascade.attempts")
        wait_for_one_that_waits(journey.engine, "DELETE%")
        booking.execute(
            text(
                "INSERT INTO cascade.charges (attempt_id, units, occurred_at)"
                " VALUES (:id, 1, now())"
            ),
            {"id": attempt},
        )
        booking.commit()

        with pytest.raises(IntegrityError, match="referred to by rows of charges"):
            deleting.result()
    booking.close()


def test_the_lattice_is_the_order_of_the_enum(engine: Engine):
    with engine.begin() as connection:
        higher = connection.execute(
            text(
                "SELECT greatest(CAST('sent' AS cascade.attempt_state), 'delivered', 'cancelled')"
            )
        ).scalar_one()
    assert higher == "delivered"


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE cascade.messages SET ended_at = now()", "messages_ended_check"),
        ("UPDATE cascade.messages SET success_met = true", "messages_success_check"),
        ("UPDATE cascade.attempts SET due_at = NULL", "attempts_live_check"),
        (
            (
                "INSERT INTO cascade.charges (attempt_id, amount, currency, units, occurred_at)"
                " SELECT id, 1, 'RUB', 1, now() FROM cascade.attempts"
            ),
            "charges_rated_check",
        ),
    ],
)
def test_the_schema_refuses_what_can_never_be(journey, change: str, constraint: str):
    journey.send()

    with pytest.raises(IntegrityError, match=constraint), journey.engine.begin() as connection:
        connection.execute(text(change))
