"""The schema, as the code sees it; migrations build the same (a test holds them equal).

Where rows are written for every message there are no foreign keys, which look up, lock and mark the
row that they refer to once more. It is locked already, or is never deleted; triggers refuse to
delete what is referred to (docs/adr/0020-references-are-checked-at-deletion.md).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from cascade.domain.state import AttemptState, Lane, MessageState


SCHEMA = "cascade"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

_NOW = text("cascade.clock()")
_TIME = DateTime(timezone=True)


def _enum(kind: type[AttemptState | MessageState | Lane], name: str) -> Enum:
    """A PostgreSQL enum: it compares in the order of its members, so the lattice is in the schema."""
    return Enum(
        kind,
        name=name,
        metadata=metadata,
        values_callable=lambda members: [member.value for member in members],
    )


attempt_state = _enum(AttemptState, "attempt_state")
message_state = _enum(MessageState, "message_state")
lane = _enum(Lane, "lane")

# One row: tests move `offset_by`; production leaves it at zero.
clock_offset = Table(
    "clock_offset",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    Column("offset_by", Interval, nullable=False, server_default=text("'0'")),
    CheckConstraint("single", name="single"),
)

# A row per periodic work: its guarded update makes a second tick in the same second a no-op.
ticks = Table(
    "ticks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("ticked_at", _TIME, nullable=False),
    Column("resumed_at", _TIME, nullable=False),  # the first tick after the newest outage
)

# A trigger refuses UPDATE and DELETE: a message keeps the version it was sent with.
policies = Table(
    "policies",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("steps", JSONB, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    # Seconds that a message has which names no deadline; 72 h.
    Column("deadline", Integer, nullable=False, server_default=text("259200")),
    UniqueConstraint("name", "version"),
)

# What policies that are written in Python are checked against; brought in from the config files.
channels = Table(
    "channels",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("ttl_minimum", Integer, nullable=False),  # seconds
    Column("ttl_maximum", Integer, nullable=False),  # seconds
    Column("read_receipts", Boolean, nullable=False),
    Column("late_delivery", Boolean, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("message_id", Uuid, nullable=False),
    Column("expires_at", _TIME, nullable=False),
)

# Written at the start and at the end of a message, not at its hops.
messages = Table(
    "messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("recipient", LargeBinary, nullable=False),  # sealed
    Column("recipient_hash", LargeBinary, nullable=False),  # keyed
    Column("content", LargeBinary, nullable=False),  # sealed
    Column("policy_id", BigInteger, nullable=False),
    Column("lane", lane, nullable=False),
    Column("state", message_state, nullable=False),
    Column("success_met", Boolean, nullable=False, server_default=text("false")),
    Column("deadline", _TIME, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("ended_at", _TIME),
    Column("send_at", _TIME),
    Column("on_status", JSONB),  # a task or an endpoint of the caller; null: nobody is told
    Column("segments", SmallInteger),  # SMS that carry its words; null: not counted
    CheckConstraint("(state = 'in_progress') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("NOT success_met OR state = 'delivered'", name="success"),
    Index("messages_created_idx", "created_at"),  # what was accepted since: metrics, reports
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("message_id", Uuid, nullable=False),
    Column("step", SmallInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("state", attempt_state, nullable=False),
    Column("lane", lane, nullable=False),
    Column("ttl", Integer, nullable=False),  # seconds, of the step
    Column("ttl_minimum", Integer, nullable=False),  # seconds, of the provider
    # When the tick looks at it, which may be earlier than it must be; set while it is live.
    Column("due_at", _TIME),
    Column("expires_at", _TIME, nullable=False),  # end of the waiting, then of the TTL
    Column("lease_until", _TIME),  # whose call it is, and until when
    Column("tries", SmallInteger, nullable=False, server_default=text("0")),  # the fence
    Column("hints", SmallInteger, nullable=False, server_default=text("0")),  # republished
    Column("client_ref", Text, nullable=False),
    Column("provider_ref", Text),  # the newest
    Column("error", Text),
    Column("created_at", _TIME, nullable=False),
    Column("started_at", _TIME),
    Column("unknown_at", _TIME),
    Column("sent_at", _TIME),
    Column("delivered_at", _TIME),
    Column("read_at", _TIME),
    Column("polled_at", _TIME),
    Column("ended_at", _TIME),
    UniqueConstraint("message_id", "step", "account"),
    UniqueConstraint("client_ref"),
    CheckConstraint("(due_at IS NULL) = (ended_at IS NOT NULL)", name="live"),
    # The tick's only way to the rows that need attention.
    Index("attempts_due_idx", "lane", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("attempts_ended_idx", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
    # Half of each page is left for newer versions of its rows: no index hears of those.
    postgresql_with={"fillfactor": 50},
)

# For receipts that come by the provider's own reference. Ids restart and repeat: not unique.
provider_refs = Table(
    "provider_refs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("account", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("attempt_id", BigInteger, nullable=False),
    Column("part", SmallInteger, nullable=False),
    Column("try", SmallInteger, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Index("provider_refs_account_ref_idx", "account", "ref"),
)

# The inbox: a provider hears 2xx only once its receipt stands here.
receipts = Table(
    "receipts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("account", Text, nullable=False),
    Column("client_ref", Text),
    Column("provider_ref", Text),
    Column("status", attempt_state, nullable=False),
    Column("native_status", Text, nullable=False),
    Column("native_code", Text, nullable=False, server_default=""),
    Column("event_at", _TIME),
    Column("raw", LargeBinary, nullable=False),  # sealed
    Column("dedupe_key", LargeBinary, nullable=False, unique=True),
    Column("received_at", _TIME, nullable=False, server_default=_NOW),
    Column("due_at", _TIME, server_default=_NOW),  # set while it is not applied
    Column("looks", SmallInteger, nullable=False, server_default=text("0")),  # in vain
    # Looks after which its provider was asked whether it is true; null: it is believed.
    Column("asked", SmallInteger),
    Column("attempt_id", BigInteger),
    Column("applied_at", _TIME),
    Index("receipts_due_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index(
        "receipts_unconfirmed_idx",
        "id",
        postgresql_where=text("asked IS NOT NULL AND due_at IS NOT NULL"),
    ),
    Index("receipts_attempt_idx", "attempt_id", postgresql_where=text("attempt_id IS NOT NULL")),
    # Those that nobody will look at again: a person must.
    Index(
        "receipts_set_aside_idx",
        "id",
        postgresql_where=text("due_at IS NULL AND applied_at IS NULL"),
    ),
)

# Append-only; the rate in force at an attempt's first call counts.
rates = Table(
    "rates",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("account", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("price", Numeric(14, 6), nullable=False),
    Column("currency", Text, nullable=False),
    Column("valid_from", _TIME, nullable=False),
    UniqueConstraint("account", "channel", "prefix", "valid_from"),
    CheckConstraint("unit IN ('message', 'segment')", name="unit"),
    CheckConstraint("price >= 0", name="price"),
)

# One charge per attempt, whatever comes how often.
charges = Table(
    "charges",
    metadata,
    Column("attempt_id", BigInteger, primary_key=True, autoincrement=False),
    Column("rate_id", BigInteger),  # null: unrated, to be priced by hand
    Column("amount", Numeric(14, 6)),
    Column("currency", Text),
    Column("units", Integer, nullable=False),
    Column("occurred_at", _TIME, nullable=False),
    Column("booked_at", _TIME, nullable=False, server_default=_NOW),
    # What an SMS of the same words to the same number would have cost; null if no rate says.
    Column("sms_amount", Numeric(14, 6)),
    Column("sms_currency", Text),
    CheckConstraint("(rate_id IS NULL) = (amount IS NULL)", name="rated"),
    CheckConstraint("(sms_amount IS NULL) = (sms_currency IS NULL)", name="sms"),
    Index("charges_booked_idx", "booked_at"),
    Index("charges_unrated_idx", "attempt_id", postgresql_where=text("amount IS NULL")),
)

# Comparisons of the books: the nightly ones, and those that repaired. `found` counts by kind.
reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("is_nightly", Boolean, nullable=False),
    Column("since", _TIME, nullable=False),
    Column("until", _TIME, nullable=False),
    Column("lines", Integer, nullable=False),  # of providers' records
    Column("found", JSONB, nullable=False),
    Column("run_at", _TIME, nullable=False, server_default=_NOW),
)

# What is booked besides the charges, which never change; so a trigger refuses UPDATE and DELETE.
corrections = Table(
    "corrections",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("reconciliation_id", BigInteger, ForeignKey(reconciliations.c.id), nullable=False),
    Column("attempt_id", BigInteger, ForeignKey(attempts.c.id), nullable=False),
    Column("ref", Text),  # of the provider's line, if it is about one
    Column("reason", Text, nullable=False),
    Column("amount", Numeric(14, 6), nullable=False),  # added to the charge; may be below zero
    Column("currency", Text, nullable=False),
    Column("booked_at", _TIME, nullable=False, server_default=_NOW),
    Index("corrections_attempt_idx", "attempt_id"),
    Index("corrections_booked_idx", "booked_at"),
)

# The customers' endpoints that the config names, and how each of them answers.
endpoints = Table(
    "endpoints",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next_try_at", _TIME, nullable=False, server_default=_NOW),
    Column("failing_since", _TIME),  # no webhook was taken since
    Column("disabled_at", _TIME),
    Column("error", Text),  # the newest, while it fails
)

# What happened to messages after they were accepted, numbered per message. A row is read in the
# order of its transaction, once no older one is open; it is told to the caller while it is due.
events = Table(
    "events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "transaction",
        BigInteger,  # PostgreSQL's 64-bit one: it never comes round again
        nullable=False,
        server_default=text("CAST(CAST(pg_current_xact_id() AS text) AS bigint)"),
    ),
    Column("message_id", Uuid, nullable=False),
    Column("sequence", SmallInteger, nullable=False),  # from 1
    Column("state", message_state, nullable=False),
    Column("happened_at", _TIME, nullable=False),
    Column("due_at", _TIME),  # when the caller is told next; null: told, or nobody asked
    Column("tries", SmallInteger, nullable=False, server_default=text("0")),
    Column("told_at", _TIME),
    Column("endpoint", Text),  # that is told; null: a task is, or nobody
    UniqueConstraint("message_id", "sequence"),
    Index("events_transaction_idx", "transaction", "id"),
    # Tasks and endpoints apart: what waits for one endpoint is in nobody's way.
    Index(
        "events_task_due_idx",
        "due_at",
        postgresql_where=text("due_at IS NOT NULL AND endpoint IS NULL"),
    ),
    Index(
        "events_endpoint_due_idx",
        "endpoint",
        "due_at",
        postgresql_where=text("due_at IS NOT NULL AND endpoint IS NOT NULL"),
    ),
    Index("events_happened_idx", "happened_at"),  # where a reader begins who names a time
    # Those whose callers will never be told: a person should know.
    Index(
        "events_given_up_idx",
        "id",
        postgresql_where=text("due_at IS NULL AND told_at IS NULL AND tries > 0"),
    ),
)
