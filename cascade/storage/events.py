"""What happened to messages: written with the change itself, owed to callers, read in order.

One row serves both. It is owed to the caller while `due_at` is set, and readers find it in the
order (transaction, id) once no older transaction is open.
"""

from __future__ import annotations

import datetime as dt
import logging

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.domain.callback import Callback, Owed
from cascade.domain.cursor import START, Cursor
from cascade.domain.errors import ConfigurationError, InvalidInputError
from cascade.domain.event import Event, OnStatus
from cascade.domain.state import MessageState
from cascade.storage.database import CLOCK
from cascade.storage.rows import as_rows


log = logging.getLogger(__name__)

LONGEST = dt.timedelta(minutes=5)  # no transaction that writes events is open for so long

_BEGINNING = dt.datetime(1, 1, 1, tzinfo=dt.UTC)

# For each row of `turned` (id, state, on_status), messages whose locks are held: no other transaction
# numbers their events.
WRITE_EVENTS = """
    INSERT INTO cascade.events (message_id, sequence, state, happened_at, due_at, endpoint)
    SELECT t.id,
        1 + coalesce((SELECT max(e.sequence) FROM cascade.events e WHERE e.message_id = t.id), 0),
        t.state, :now, CASE WHEN t.on_status IS NOT NULL THEN :now END, t.on_status ->> 'endpoint'
    FROM turned t
"""
_WRITE = text(f"""
    WITH turned AS (
        SELECT m.id, r.state, m.on_status
        FROM json_to_recordset(CAST(:rows AS json)) AS r(id uuid, state cascade.message_state)
        JOIN cascade.messages m ON m.id = r.id
    )
    {WRITE_EVENTS}
""")  # noqa: S608  # a constant

# An event waits while an earlier one of its message is owed, in flight or not.
_CLAIM = text(f"""
    WITH due AS MATERIALIZED (
        SELECT e.id, m.on_status
        FROM cascade.events e
        JOIN cascade.messages m ON m.id = e.message_id
        WHERE e.due_at <= {CLOCK} AND e.endpoint IS NULL
            AND NOT EXISTS (SELECT FROM cascade.events earlier
                WHERE earlier.message_id = e.message_id AND earlier.sequence < e.sequence
                    AND earlier.due_at IS NOT NULL)
        ORDER BY e.due_at LIMIT :quota
        FOR NO KEY UPDATE OF e SKIP LOCKED
    )
    UPDATE cascade.events e
    SET due_at = {CLOCK} + CAST(:lease AS interval), tries = least(e.tries + 1, 1000)
    FROM due WHERE e.id = due.id
    RETURNING e.id, e.message_id, e.sequence, e.state, e.tries, due.on_status
""")  # noqa: S608  # a constant

# Told is a fact, whoever brings it; the rest is for the newest claim to say.
_SETTLE = text(f"""
    WITH settled AS MATERIALIZED (
        SELECT e.id, r.was_told, r.was_tried, r.pause
        FROM json_to_recordset(CAST(:rows AS json))
            AS r(id bigint, tries smallint, was_told boolean, was_tried boolean,
                pause double precision)
        JOIN cascade.events e ON e.id = r.id
        WHERE e.told_at IS NULL
            AND (r.was_told OR (e.due_at IS NOT NULL AND e.tries = r.tries))
        ORDER BY e.id FOR NO KEY UPDATE OF e
    )
    UPDATE cascade.events e
    SET told_at = CASE WHEN s.was_told THEN {CLOCK} END,
        due_at = CASE WHEN NOT s.was_told THEN {CLOCK} + make_interval(secs => s.pause) END,
        tries = CASE WHEN s.was_tried THEN e.tries ELSE e.tries - 1 END
    FROM settled s WHERE e.id = s.id
    RETURNING e.id, e.due_at IS NULL AND e.told_at IS NULL AS is_given_up
""")  # noqa: S608  # a constant

# What waits for an endpoint that is paused or disabled is owed, and not overdue. Each half has an
# index of its own.
_STATE = text(f"""
    WITH owed AS (
        SELECT due_at, true AS is_open FROM cascade.events
        WHERE due_at IS NOT NULL AND endpoint IS NULL
        UNION ALL
        SELECT e.due_at, p.disabled_at IS NULL AND p.next_try_at <= {CLOCK}
        FROM cascade.events e JOIN cascade.endpoints p ON p.name = e.endpoint
        WHERE e.due_at IS NOT NULL AND e.endpoint IS NOT NULL
    )
    SELECT count(*) FILTER (WHERE due_at <= {CLOCK} AND is_open) AS overdue,
        extract(epoch FROM {CLOCK} - min(due_at) FILTER (WHERE due_at <= {CLOCK} AND is_open)) AS lag,
        count(*) AS owed,
        (SELECT count(*) FROM cascade.events
            WHERE due_at IS NULL AND told_at IS NULL AND tries > 0) AS given_up
    FROM owed
""")  # noqa: S608  # a constant

# Of the oldest ones: where millions are owed, this is a look and no count.
_OWED_BROKERS = text("""
    SELECT DISTINCT m.on_status ->> 'broker' AS broker
    FROM (SELECT message_id FROM cascade.events
        WHERE due_at IS NOT NULL AND endpoint IS NULL ORDER BY due_at LIMIT 10000) owed
    JOIN cascade.messages m ON m.id = owed.message_id
    ORDER BY broker
""")

# Below the snapshot's xmin no transaction is open any more: nothing can come in behind a reader.
_READ = text("""
    SELECT transaction, id, message_id, sequence, state, happened_at
    FROM cascade.events
    WHERE (transaction, id) > (:transaction, :id)
        AND transaction < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)
        AND happened_at >= CAST(:since AS timestamptz)
    ORDER BY transaction, id LIMIT :limit
""")

_BEFORE = text("""
    SELECT transaction FROM cascade.events
    WHERE happened_at < CAST(:since AS timestamptz) - CAST(:longest AS interval)
    ORDER BY happened_at DESC LIMIT 1
""")

_COUNTER = text("""
    SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS next,
        (SELECT max(transaction) FROM cascade.events) AS newest
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one claimed callback.

    `pause` are seconds until it is due again; None if it was told, or is given up.
    """

    callback: Owed
    was_told: bool = False
    was_tried: bool = True
    pause: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbacksState:
    """How far behind the telling of callers is."""

    owed: int  # events that are still to be told, those that wait for another try included
    overdue: int  # of these: could be told now, as their endpoint is not paused or disabled
    lag: float  # seconds since the oldest of those was due; 0 if there is none
    given_up: int  # events whose callers were never told, and will not be


def write_events(
    connection: Connection, states: Mapping[str, MessageState], now: dt.datetime
) -> None:
    """Adds an event for each of these messages, whose locks this transaction holds.

    `states` are by the messages' ids as text.
    """
    if states:
        rows = as_rows({"id": one, "state": states[one]} for one in sorted(states))
        connection.execute(_WRITE, {"rows": rows, "now": now})


def claim_callbacks(connection: Connection, quota: int, *, lease: dt.timedelta) -> list[Callback]:
    """Takes for `lease` the callbacks that have been due longest, of a message only the next."""
    rows = connection.execute(_CLAIM, {"quota": quota, "lease": lease})
    claimed = [one for row in rows if (one := _readable(row)) is not None]
    return sorted(claimed, key=lambda callback: callback.event_id)


def settle_callbacks(connection: Connection, outcomes: Iterable[Outcome]) -> list[int]:
    """Writes what became of claimed callbacks; returns the ids of events that are given up now."""
    rows = as_rows(
        {
            "id": outcome.callback.event_id,
            "tries": outcome.callback.tries,
            "was_told": outcome.was_told,
            "was_tried": outcome.was_tried,
            "pause": outcome.pause,
        }
        for outcome in outcomes
    )
    settled = connection.execute(_SETTLE, {"rows": rows})
    return sorted(row.id for row in settled if row.is_given_up)


def callbacks_state(connection: Connection) -> CallbacksState:
    """Counts for those who watch over the service."""
    row = connection.execute(_STATE).one()
    return CallbacksState(
        owed=row.owed, overdue=row.overdue, lag=float(row.lag or 0), given_up=row.given_up
    )


def owed_brokers(connection: Connection) -> list[str]:
    """Names of the brokers that callers are still to be told over, by the 10,000 oldest events."""
    return list(connection.execute(_OWED_BROKERS).scalars())


def read_events(
    connection: Connection,
    *,
    after: Cursor = START,
    since: dt.datetime | None = None,
    limit: int,
) -> list[Event]:
    """The next events behind `after`, of those that happened at `since` (aware) or later.

    In the order of their transactions, each event once no older transaction is open: a reader who
    goes on from the last cursor misses none, however late it was committed.
    """
    values = {"transaction": after.transaction, "id": after.id, "limit": limit}
    rows = connection.execute(_READ, {**values, "since": since or _BEGINNING})
    return [_event(row) for row in rows]


def cursor_before(connection: Connection, since: dt.datetime) -> Cursor:
    """A place before every event that happened at `since` (aware) or later, and not far off."""
    values = {"since": since, "longest": LONGEST}
    transaction = connection.execute(_BEFORE, values).scalar()
    return START if transaction is None else Cursor(transaction, 0)


def check_cursor(connection: Connection, cursor: Cursor) -> None:
    """Raises InvalidInputError if the cursor, or ConfigurationError if the events are of another
    server: transactions are numbered by the server, and a dump does not carry its counter over.
    """
    row = connection.execute(_COUNTER).one()
    if (row.newest or 0) >= row.next:
        raise ConfigurationError(
            "cascade.events",
            "the database was restored from a dump, and its events carry another server's numbers",
            "UPDATE cascade.events SET transaction = 0, then read on from a time",
        )
    if cursor.transaction >= row.next:
        raise InvalidInputError(
            "since",
            "the cursor is ahead of this database, which was restored or is another one",
            "read on from a time",
        )


def _readable(row: Row[Any]) -> Callback | None:
    """None, with an alert, for one that other code wrote: it comes again when its lease is over."""
    try:
        return _callback(row)
    except (TypeError, ValueError):
        log.error("a callback cannot be read", extra={"event_id": row.id})  # noqa: TRY400  # ids only
        return None


def _callback(row: Row[Any]) -> Callback:
    return Callback(
        event_id=row.id,
        message_id=row.message_id,
        sequence=row.sequence,
        state=MessageState(row.state),
        tries=row.tries,
        to=OnStatus(**row.on_status),
    )


def _event(row: Row[Any]) -> Event:
    return Event(
        message_id=row.message_id,
        sequence=row.sequence,
        state=MessageState(row.state),
        happened_at=row.happened_at,
        cursor=str(Cursor(row.transaction, row.id)),
    )
