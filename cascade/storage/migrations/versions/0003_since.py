"""What happened since a moment is found by an index: metrics must not read whole tables."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

from cascade.storage.migrations.concurrently import build_index, drop_index, unhurried


revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Name, table, column, and the rows that it holds.
INDEXES = (
    ("messages_created_idx", "messages", "created_at", None),
    ("attempts_ended_idx", "attempts", "ended_at", "ended_at IS NOT NULL"),
    ("charges_booked_idx", "charges", "booked_at", None),
    ("charges_unrated_idx", "charges", "attempt_id", "amount IS NULL"),
    ("receipts_set_aside_idx", "receipts", "id", "due_at IS NULL AND applied_at IS NULL"),
    ("events_happened_idx", "events", "happened_at", None),
    ("events_given_up_idx", "events", "id", "due_at IS NULL AND told_at IS NULL AND tries > 0"),
)


def upgrade() -> None:
    with unhurried():
        for name, table, column, rows in INDEXES:
            build_index(name, table, column, None if rows is None else sa.text(rows))
        op.execute("ALTER TABLE cascade.charges VALIDATE CONSTRAINT charges_sms_check")


def downgrade() -> None:
    with unhurried():
        for name, table, _, _ in reversed(INDEXES):
            drop_index(name, table)
