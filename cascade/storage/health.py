"""What the state of the database tells: looks that are short, and lock nothing."""

from __future__ import annotations

import uuid

from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from cascade.domain.state import Lane
from cascade.storage.database import CLOCK


STATEMENT_SECONDS = 2  # for one look; then the server gives it up


@dataclass(frozen=True, slots=True)
class Server:
    """`version` as PostgreSQL numbers it: 180001 is 18.1."""

    version: int
    is_read_only: bool


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """The oldest one; `age` in seconds."""

    pid: int
    age: float
    state: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """How many sessions of other roles `role` cannot look into; it is quoted as SQL wants it."""

    sessions: int
    role: str


@dataclass(frozen=True, slots=True)
class SealedMessage:
    """What a key must open."""

    id: uuid.UUID
    recipient: bytes = field(repr=False)
    recipient_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedReceipt:
    """What a key must open."""

    account: str
    raw: bytes = field(repr=False)


_SERVER = text("""
    SELECT CAST(current_setting('server_version_num') AS integer) AS version,
        current_setting('transaction_read_only') = 'on' AS is_read_only
""")

_LAST_TICK = text(f"""
    SELECT extract(epoch FROM {CLOCK} - ticked_at) FROM cascade.ticks
    WHERE name = 'tick' AND ticked_at > 'epoch'
""")  # noqa: S608  # a constant

_DUE = text(f"""
    SELECT lanes.lane, extract(epoch FROM clock.now - due.oldest) AS lag
    FROM unnest(enum_range(CAST(NULL AS cascade.lane))) AS lanes(lane)
    CROSS JOIN (SELECT {CLOCK} AS now) clock
    CROSS JOIN LATERAL (
        SELECT min(a.due_at) AS oldest FROM cascade.attempts a
        WHERE a.lane = lanes.lane AND a.due_at IS NOT NULL
    ) due
""")  # noqa: S608  # a constant

_RECEIPTS = text(f"""
    SELECT extract(epoch FROM {CLOCK} - min(due_at)) FROM cascade.receipts WHERE due_at IS NOT NULL
""")  # noqa: S608  # a constant

_SET_ASIDE = text("""
    SELECT count(*) FROM cascade.receipts WHERE due_at IS NULL AND applied_at IS NULL
""")

_UNRATED = text("SELECT count(*) FROM cascade.charges WHERE amount IS NULL")

# The server's own time: it dates its transactions by it. Those of other databases count if they
# write, since events are read only once no older transaction is open.
_OLDEST_TRANSACTION = text("""
    SELECT pid, state, extract(epoch FROM clock_timestamp() - xact_start) AS age
    FROM pg_stat_activity
    WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        AND (datname = current_database() OR backend_xid IS NOT NULL)
    ORDER BY xact_start LIMIT 1
""")

# Of a role that is not one's own, pg_stat_activity tells no more than that it is there.
_HIDDEN = text("""
    SELECT count(*) AS sessions, quote_ident(current_user) AS role FROM pg_stat_activity
    WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND NOT pg_has_role(usesysid, 'USAGE')
        AND NOT pg_has_role('pg_read_all_stats', 'USAGE')
""")

_MESSAGES = text("""
    (SELECT id, recipient, recipient_hash FROM cascade.messages
        ORDER BY id DESC LIMIT :count)
    UNION ALL
    (SELECT id, recipient, recipient_hash FROM cascade.messages ORDER BY id LIMIT :count)
""")

_SEALED_RECEIPTS = text("""
    (SELECT account, raw FROM cascade.receipts ORDER BY id DESC LIMIT :count)
    UNION ALL
    (SELECT account, raw FROM cascade.receipts ORDER BY id LIMIT :count)
""")


def connect_briefly(url: str) -> Engine:
    """An engine for short looks: it waits two seconds for a connection and for a statement."""
    return create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 2,
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout=1s"
            " -c timezone=UTC -c search_path=public",
        },
    )


def server(connection: Connection) -> Server:
    """The version, and whether nothing can be written."""
    return Server(*connection.execute(_SERVER).one())


def revision(connection: Connection) -> str | None:
    """The schema's revision; None where there is no schema."""
    table = connection.execute(text("SELECT to_regclass('cascade.alembic_version')")).scalar_one()
    if table is None:
        return None
    found = connection.execute(text("SELECT max(version_num) FROM cascade.alembic_version"))
    newest = found.scalar_one()
    return None if newest is None else str(newest)


def clock_offset(connection: Connection) -> float:
    """Seconds by which the shared time was moved."""
    offset = text("SELECT extract(epoch FROM offset_by) FROM cascade.clock_offset")
    return float(connection.execute(offset).scalar_one())


def since_tick(connection: Connection) -> float | None:
    """Seconds since the last tick; None if there was none yet."""
    return _seconds(connection.execute(_LAST_TICK).scalar_one_or_none())


def due_lags(connection: Connection) -> dict[Lane, float]:
    """Seconds for which each lane's oldest due row has waited for the tick."""
    return {Lane(row.lane): max(0.0, _seconds(row.lag) or 0) for row in connection.execute(_DUE)}


def receipts_lag(connection: Connection) -> float:
    """Seconds for which the oldest due receipt has waited."""
    return max(0.0, _seconds(connection.execute(_RECEIPTS).scalar_one()) or 0)


def set_aside(connection: Connection) -> int:
    """Receipts whose attempt was never found."""
    return int(connection.execute(_SET_ASIDE).scalar_one())


def unrated(connection: Connection) -> int:
    """Charges without an amount."""
    return int(connection.execute(_UNRATED).scalar_one())


def oldest_transaction(connection: Connection) -> OpenTransaction | None:
    """Of those that keep rows from being cleaned up or events from being read, and can be seen."""
    row = connection.execute(_OLDEST_TRANSACTION).one_or_none()
    return None if row is None else OpenTransaction(row.pid, float(row.age), row.state)


def hidden(connection: Connection) -> Hidden:
    """Whose transactions `oldest_transaction` passes by."""
    return Hidden(*connection.execute(_HIDDEN).one())


def sealed_messages(connection: Connection, count: int) -> list[SealedMessage]:
    """The newest and the oldest of them, `count` of each."""
    rows = connection.execute(_MESSAGES, {"count": count})
    return [SealedMessage(row.id, bytes(row.recipient), bytes(row.recipient_hash)) for row in rows]


def sealed_receipts(connection: Connection, count: int) -> list[SealedReceipt]:
    """The newest and the oldest of them, `count` of each."""
    rows = connection.execute(_SEALED_RECEIPTS, {"count": count})
    return [SealedReceipt(row.account, bytes(row.raw)) for row in rows]


def _seconds(value: object) -> float | None:
    return None if value is None else float(str(value))
