"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op
from sqlalchemy.dialects import postgresql


revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _enum(name: str, *members: str) -> postgresql.ENUM:
    return postgresql.ENUM(*members, name=name, schema="cascade", create_type=False)


# In the order of the lattice: PostgreSQL compares the members of an enum in this order.
ATTEMPT_STATE = _enum(
    "attempt_state",
    "scheduled",
    "queued",
    "retry",
    "cancelled",
    "skipped",
    "sending",
    "unknown",
    "sent",
    "unsupported",
    "rejected",
    "expired",
    "undeliverable",
    "delivered",
    "read",
)
MESSAGE_STATE = _enum("message_state", "in_progress", "delivered", "undelivered", "cancelled")
LANE = _enum("lane", "urgent", "normal", "bulk")
ENUMS = (ATTEMPT_STATE, MESSAGE_STATE, LANE)

# All shared time. Tests move `offset_by`.
CLOCK = """
    CREATE FUNCTION cascade.clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
        SELECT clock_timestamp() + (SELECT offset_by FROM cascade.clock_offset)
    $$
"""

IMMUTABLE = """
    CREATE FUNCTION cascade.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a row of %.% is never changed: write a new one',
            TG_TABLE_SCHEMA, TG_TABLE_NAME;
    END
    $$
"""

# Rows that change state many times: vacuum them often, and leave room for updates in place.
BUSY = """
    ALTER TABLE cascade.{table} SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_analyze_scale_factor = 0.05)
"""


def upgrade() -> None:
    for enum in ENUMS:
        enum.create(op.get_bind())
    op.create_table(
        "clock_offset",
        sa.Column("single", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("offset_by", sa.Interval(), server_default=sa.text("'0'"), nullable=False),
        sa.CheckConstraint("single", name=op.f("clock_offset_single_check")),
        sa.PrimaryKeyConstraint("single", name=op.f("clock_offset_pkey")),
        schema="cascade",
    )
    op.execute("INSERT INTO cascade.clock_offset DEFAULT VALUES")
    op.execute(CLOCK)
    op.create_table(
        "idempotency_keys",
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sender", "key", name=op.f("idempotency_keys_pkey")),
        schema="cascade",
    )
    op.create_table(
        "policies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("steps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("cascade.clock()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("policies_pkey")),
        sa.UniqueConstraint("name", "version", name=op.f("policies_name_version_key")),
        schema="cascade",
    )
    op.create_table(
        "rates",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("price", sa.Numeric(precision=14, scale=6), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("unit IN ('message', 'segment')", name=op.f("rates_unit_check")),
        sa.CheckConstraint("price >= 0", name=op.f("rates_price_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("rates_pkey")),
        sa.UniqueConstraint(
            "account",
            "channel",
            "prefix",
            "valid_from",
            name=op.f("rates_account_channel_prefix_valid_from_key"),
        ),
        schema="cascade",
    )
    op.create_table(
        "receipts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("client_ref", sa.Text(), nullable=True),
        sa.Column("provider_ref", sa.Text(), nullable=True),
        sa.Column("status", ATTEMPT_STATE, nullable=False),
        sa.Column("native_status", sa.Text(), nullable=False),
        sa.Column("native_code", sa.Text(), server_default="", nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("dedupe_key", sa.LargeBinary(), nullable=False),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("cascade.clock()"),
            nullable=False,
        ),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("cascade.clock()"),
            nullable=True,
        ),
        sa.Column("looks", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("receipts_pkey")),
        sa.UniqueConstraint("dedupe_key", name=op.f("receipts_dedupe_key_key")),
        schema="cascade",
    )
    op.create_index(
        "receipts_attempt_idx",
        "receipts",
        ["attempt_id"],
        unique=False,
        schema="cascade",
        postgresql_where=sa.text("attempt_id IS NOT NULL"),
    )
    op.create_index(
        "receipts_due_idx",
        "receipts",
        ["due_at"],
        unique=False,
        schema="cascade",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "ticks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ticked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("ticks_pkey")),
        schema="cascade",
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("recipient", sa.LargeBinary(), nullable=False),
        sa.Column("recipient_hash", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("policy_id", sa.BigInteger(), nullable=False),
        sa.Column("lane", LANE, nullable=False),
        sa.Column("state", MESSAGE_STATE, nullable=False),
        sa.Column("success_met", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'in_progress') = (ended_at IS NULL)", name=op.f("messages_ended_check")
        ),
        sa.CheckConstraint(
            "NOT success_met OR state = 'delivered'", name=op.f("messages_success_check")
        ),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["cascade.policies.id"], name=op.f("messages_policy_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("messages_pkey")),
        schema="cascade",
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("state", ATTEMPT_STATE, nullable=False),
        sa.Column("lane", LANE, nullable=False),
        sa.Column("ttl", sa.Integer(), nullable=False),
        sa.Column("ttl_minimum", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("hints", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("client_ref", sa.Text(), nullable=False),
        sa.Column("provider_ref", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unknown_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(due_at IS NULL) = (ended_at IS NOT NULL)", name=op.f("attempts_live_check")
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["cascade.messages.id"], name=op.f("attempts_message_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("attempts_pkey")),
        sa.UniqueConstraint("client_ref", name=op.f("attempts_client_ref_key")),
        sa.UniqueConstraint(
            "message_id", "step", "account", name=op.f("attempts_message_id_step_account_key")
        ),
        schema="cascade",
    )
    op.create_index(
        "attempts_due_idx",
        "attempts",
        ["lane", "due_at"],
        unique=False,
        schema="cascade",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "charges",
        sa.Column("attempt_id", sa.BigInteger(), nullable=False),
        sa.Column("rate_id", sa.BigInteger(), nullable=True),
        sa.Column("amount", sa.Numeric(precision=14, scale=6), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "booked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("cascade.clock()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(rate_id IS NULL) = (amount IS NULL)", name=op.f("charges_rated_check")
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["cascade.attempts.id"], name=op.f("charges_attempt_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["rate_id"], ["cascade.rates.id"], name=op.f("charges_rate_id_fkey")
        ),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("charges_pkey")),
        schema="cascade",
    )
    op.create_table(
        "provider_refs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("try", sa.SmallInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("cascade.clock()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["cascade.attempts.id"], name=op.f("provider_refs_attempt_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("provider_refs_pkey")),
        schema="cascade",
    )
    op.create_index(
        "provider_refs_account_ref_idx",
        "provider_refs",
        ["account", "ref"],
        unique=False,
        schema="cascade",
    )
    op.execute(
        "INSERT INTO cascade.ticks (name, ticked_at, resumed_at)"
        " VALUES ('tick', 'epoch', 'epoch'), ('poll', 'epoch', 'epoch')"
    )
    op.execute(IMMUTABLE)
    for table in ("policies", "rates"):
        op.execute(
            f"CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON cascade.{table}"
            " FOR EACH ROW EXECUTE FUNCTION cascade.refuse_change()"
        )
    for table in ("attempts", "receipts"):
        op.execute(BUSY.format(table=table))


def downgrade() -> None:
    op.drop_index("provider_refs_account_ref_idx", table_name="provider_refs", schema="cascade")
    op.drop_table("provider_refs", schema="cascade")
    op.drop_table("charges", schema="cascade")
    op.drop_index(
        "attempts_due_idx",
        table_name="attempts",
        schema="cascade",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("attempts", schema="cascade")
    op.drop_table("messages", schema="cascade")
    op.drop_table("ticks", schema="cascade")
    op.drop_index(
        "receipts_due_idx",
        table_name="receipts",
        schema="cascade",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_index(
        "receipts_attempt_idx",
        table_name="receipts",
        schema="cascade",
        postgresql_where=sa.text("attempt_id IS NOT NULL"),
    )
    op.drop_table("receipts", schema="cascade")
    op.drop_table("rates", schema="cascade")
    op.drop_table("policies", schema="cascade")
    op.drop_table("idempotency_keys", schema="cascade")
    op.execute("DROP FUNCTION cascade.clock()")
    op.drop_table("clock_offset", schema="cascade")
    op.execute("DROP FUNCTION cascade.refuse_change()")
    for enum in reversed(ENUMS):
        enum.drop(op.get_bind())
