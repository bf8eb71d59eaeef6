"""Receipts that wait for a poll."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

from cascade.storage.migrations.concurrently import build_index, drop_index, unhurried


revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEX = ("receipts_unconfirmed_idx", "receipts", "id")
ROWS = "asked IS NOT NULL AND due_at IS NOT NULL"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE cascade.receipts ADD COLUMN IF NOT EXISTS asked smallint")
    with unhurried():
        build_index(*INDEX, sa.text(ROWS))


def downgrade() -> None:
    with unhurried():
        drop_index(*INDEX[:2])
    op.execute("ALTER TABLE cascade.receipts DROP COLUMN asked")
