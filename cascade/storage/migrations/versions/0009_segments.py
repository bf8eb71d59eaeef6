"""How many SMS carry a message's words, counted as it is accepted and not as it is charged.

Messages that are there already have no count: theirs is found in their content.
"""

from __future__ import annotations

from alembic import op


revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE cascade.messages ADD COLUMN segments smallint")


def downgrade() -> None:
    op.execute("ALTER TABLE cascade.messages DROP COLUMN segments")
