"""HTTP callbacks: customers' endpoints, and the events that are owed to each of them.

Services of the revision before go on, but scan `events` for the callbacks that are due, until they
are started again; so do that soon.
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

from cascade.storage.migrations.concurrently import build_index, drop_index, unhurried


revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OLD = ("events_due_idx", "events", "due_at", "due_at IS NOT NULL")
NEW = (
    ("events_task_due_idx", "events", "due_at", "due_at IS NOT NULL AND endpoint IS NULL"),
    (
        "events_endpoint_due_idx",
        "events",
        "endpoint, due_at",
        "due_at IS NOT NULL AND endpoint IS NOT NULL",
    ),
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE cascade.events ADD COLUMN IF NOT EXISTS endpoint text")
    with unhurried():
        for name, table, columns, rows in NEW:
            build_index(name, table, columns, sa.text(rows))
        drop_index(*OLD[:2])
    op.create_table(
        "endpoints",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "next_try_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("cascade.clock()"),
            nullable=False,
        ),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("endpoints_pkey")),
        schema="cascade",
    )
    op.execute(
        "INSERT INTO cascade.ticks (name, ticked_at, resumed_at) VALUES ('post', 'epoch', 'epoch')"
    )


def downgrade() -> None:
    op.execute("DELETE FROM cascade.ticks WHERE name = 'post'")
    op.drop_table("endpoints", schema="cascade")
    name, table, columns, rows = OLD
    with unhurried():
        build_index(name, table, columns, sa.text(rows))
        for newer in NEW:
            drop_index(*newer[:2])
    # Owed to endpoints, which the older revision does not know: it could call no task for them.
    op.execute("UPDATE cascade.events SET due_at = NULL WHERE endpoint IS NOT NULL")
    op.drop_column("events", "endpoint", schema="cascade")
