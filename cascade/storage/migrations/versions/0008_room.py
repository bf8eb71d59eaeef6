"""Room in the pages of attempts for what is written while they are under way.

Fresh pages only: what is there already is left as it is.
"""

from __future__ import annotations

from alembic import op


revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE cascade.attempts SET (fillfactor = 50)")


def downgrade() -> None:
    op.execute("ALTER TABLE cascade.attempts RESET (fillfactor)")
