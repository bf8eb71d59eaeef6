"""What an app needs on its first day: events, inline policies, scheduled sends, savings."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MESSAGE_STATE = postgresql.ENUM(
    "in_progress",
    "delivered",
    "undelivered",
    "cancelled",
    name="message_state",
    schema="cascade",
    create_type=False,
)

# Few live rows among many: vacuum by number, and leave room for updates in place.
BUSY = """
    ALTER TABLE cascade.events SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_analyze_scale_factor = 0.05)
"""

# Each in a transaction of its own: whoever sends locks `policies` before `messages`, and whoever
# moves a message on locks them the other way round. Each may be repeated after an interruption.
CHANGES = (
    """
    ALTER TABLE cascade.messages
        ADD COLUMN IF NOT EXISTS send_at timestamptz,
        ADD COLUMN IF NOT EXISTS on_status jsonb
    """,
    # Not valid: the next revision reads the rows, without holding anybody up.
    """
    ALTER TABLE cascade.charges
        ADD COLUMN IF NOT EXISTS sms_amount numeric(14, 6),
        ADD COLUMN IF NOT EXISTS sms_currency text,
        DROP CONSTRAINT IF EXISTS charges_sms_check,
        ADD CONSTRAINT charges_sms_check
            CHECK ((sms_amount IS NULL) = (sms_currency IS NULL)) NOT VALID
    """,
    """
    ALTER TABLE cascade.policies
        ADD COLUMN IF NOT EXISTS deadline integer NOT NULL DEFAULT 259200
    """,
)

ADDED = {
    "policies": ("deadline",),
    "messages": ("send_at", "on_status"),
    "charges": ("sms_amount", "sms_currency"),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for change in CHANGES:
            op.execute(change)
    op.create_table(
        "channels",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ttl_minimum", sa.Integer(), nullable=False),
        sa.Column("ttl_maximum", sa.Integer(), nullable=False),
        sa.Column("read_receipts", sa.Boolean(), nullable=False),
        sa.Column("late_delivery", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("channels_pkey")),
        schema="cascade",
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "transaction",
            sa.BigInteger(),
            server_default=sa.text("CAST(CAST(pg_current_xact_id() AS text) AS bigint)"),
            nullable=False,
        ),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.SmallInteger(), nullable=False),
        sa.Column("state", MESSAGE_STATE, nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["cascade.messages.id"], name=op.f("events_message_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pkey")),
        sa.UniqueConstraint("message_id", "sequence", name=op.f("events_message_id_sequence_key")),
        schema="cascade",
    )
    op.create_index("events_transaction_idx", "events", ["transaction", "id"], schema="cascade")
    op.create_index(
        "events_due_idx",
        "events",
        ["due_at"],
        schema="cascade",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.execute(BUSY)
    op.execute(
        "INSERT INTO cascade.ticks (name, ticked_at, resumed_at) VALUES ('call', 'epoch', 'epoch')"
    )


def downgrade() -> None:
    op.execute("DELETE FROM cascade.ticks WHERE name = 'call'")
    op.drop_table("events", schema="cascade")
    op.drop_table("channels", schema="cascade")
    op.drop_constraint("charges_sms_check", "charges", schema="cascade")
    for table, columns in ADDED.items():
        for column in columns:
            op.drop_column(table, column, schema="cascade")
