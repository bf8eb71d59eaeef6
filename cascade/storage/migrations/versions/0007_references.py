"""References that are checked when something is deleted, and no longer at each insert."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op


revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Table, column, and the table that it refers to. Of the last two no row is ever deleted.
REFERENCES = (
    ("attempts", "message_id", "messages"),
    ("events", "message_id", "messages"),
    ("provider_refs", "attempt_id", "attempts"),
    ("charges", "attempt_id", "attempts"),
    ("charges", "rate_id", "rates"),
    ("messages", "policy_id", "policies"),
)
GUARDED = ("messages", "attempts")

GUARD = """
    CREATE OR REPLACE FUNCTION cascade.refuse_orphans() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        is_needed boolean;
    BEGIN
        EXECUTE format('SELECT EXISTS (SELECT FROM cascade.%I WHERE %I = $1)',
            TG_ARGV[0], TG_ARGV[1]) INTO is_needed USING OLD.id;
        IF is_needed THEN
            RAISE foreign_key_violation USING MESSAGE = format(
                'a row of %s.%s is referred to by rows of %s: delete those first',
                TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]);
        END IF;
        RETURN NULL;
    END
    $$
"""


IS_THERE = sa.text(
    "SELECT EXISTS (SELECT FROM pg_constraint"
    " WHERE conrelid = to_regclass(:table) AND conname = :constraint)"
)


def upgrade() -> None:
    # A transaction for each, which locks its tables in the order of services; a repetition passes
    # by those that are done.
    with op.get_context().autocommit_block():
        op.execute(GUARD)
        for table, column, parent in REFERENCES:
            constraint = f"{table}_{column}_fkey"
            names = {"table": f"cascade.{table}", "constraint": constraint}
            if op.get_bind().execute(IS_THERE, names).scalar_one():
                first = table if parent == "policies" else parent
                op.execute(
                    f"LOCK TABLE cascade.{first} IN ACCESS EXCLUSIVE MODE;"
                    f" {_guard(table, column, parent)}"
                    f" ALTER TABLE cascade.{table} DROP CONSTRAINT {constraint}"
                )


def _guard(table: str, column: str, parent: str) -> str:
    if parent not in GUARDED:
        return ""
    return (
        f"CREATE TRIGGER refuse_orphan_{table} AFTER DELETE ON cascade.{parent} FOR EACH ROW"
        f" EXECUTE FUNCTION cascade.refuse_orphans('{table}', '{column}');"
    )


def downgrade() -> None:
    for table, column, parent in REFERENCES:
        op.create_foreign_key(
            f"{table}_{column}_fkey",
            table,
            parent,
            [column],
            ["id"],
            source_schema="cascade",
            referent_schema="cascade",
        )
        if parent in GUARDED:
            op.execute(f"DROP TRIGGER refuse_orphan_{table} ON cascade.{parent}")
    op.execute("DROP FUNCTION cascade.refuse_orphans()")
