"""Corrections and runs of reconciling."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NOW = sa.text("cascade.clock()")
TIME = sa.DateTime(timezone=True)

IMMUTABLE = """
    CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON cascade.corrections
        FOR EACH ROW EXECUTE FUNCTION cascade.refuse_change()
"""


def upgrade() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("is_nightly", sa.Boolean(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("found", postgresql.JSONB(), nullable=False),
        sa.Column("run_at", TIME, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("reconciliations_pkey")),
        schema="cascade",
    )
    op.create_table(
        "corrections",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("reconciliation_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(14, 6), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("booked_at", TIME, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["cascade.reconciliations.id"],
            name=op.f("corrections_reconciliation_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["cascade.attempts.id"], name=op.f("corrections_attempt_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("corrections_pkey")),
        schema="cascade",
    )
    op.create_index("corrections_attempt_idx", "corrections", ["attempt_id"], schema="cascade")
    op.create_index("corrections_booked_idx", "corrections", ["booked_at"], schema="cascade")
    op.execute(IMMUTABLE)
    op.execute(
        "INSERT INTO cascade.ticks (name, ticked_at, resumed_at)"
        " VALUES ('reconcile', 'epoch', 'epoch')"
    )


def downgrade() -> None:
    op.execute("DELETE FROM cascade.ticks WHERE name = 'reconcile'")
    op.drop_table("corrections", schema="cascade")
    op.drop_table("reconciliations", schema="cascade")
