"""Writing attempts: new ones, and the changes that the engine decided."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Iterable

from sqlalchemy import Connection, text
from uuid_utils import uuid7

from cascade.domain.cascade import Attempt
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState, Channel, Lane
from cascade.storage.rows import as_rows


_INSERT = text("""
    INSERT INTO cascade.attempts
        (message_id, step, channel, account, state, lane, ttl, ttl_minimum, due_at, expires_at,
         client_ref, error, created_at, ended_at)
    SELECT message_id, step, channel, account, state, lane, ttl, ttl_minimum, due_at, expires_at,
        client_ref, error, :now, ended_at
    FROM json_to_recordset(CAST(:rows AS json)) AS r(message_id uuid, step smallint, channel text,
        account text, state cascade.attempt_state, lane cascade.lane, ttl integer,
        ttl_minimum integer, due_at timestamptz, expires_at timestamptz, client_ref text,
        error text, ended_at timestamptz)
    RETURNING id, channel, lane, state
""")

# The rows are locked by now; the guard still says that no decision moves an attempt down.
_UPDATE = text("""
    UPDATE cascade.attempts a
    SET state = r.state, due_at = r.due_at, error = r.error, sent_at = r.sent_at,
        delivered_at = r.delivered_at, read_at = r.read_at, ended_at = r.ended_at
    FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, state cascade.attempt_state,
        due_at timestamptz, error text, sent_at timestamptz, delivered_at timestamptz,
        read_at timestamptz, ended_at timestamptz)
    WHERE a.id = r.id AND a.state <= r.state
""")


def insert_attempts(
    connection: Connection,
    opened: Iterable[tuple[uuid.UUID, Lane, Attempt, int, int]],
    now: dt.datetime,
) -> list[Hint]:
    """Writes (message id, lane, attempt, TTL, provider's minimum TTL), times in seconds.

    Each gets a new reference of ours for the provider. Returns the hints of those that are queued.
    """
    rows = as_rows(
        {
            "message_id": message_id,
            "step": attempt.step,
            "channel": attempt.channel,
            "account": attempt.account,
            "state": attempt.state,
            "lane": lane,
            "ttl": ttl,
            "ttl_minimum": ttl_minimum,
            "due_at": attempt.due_at,
            "expires_at": attempt.expires_at,
            "client_ref": new_reference(),
            "error": attempt.error,
            "ended_at": attempt.ended_at,
        }
        for message_id, lane, attempt, ttl, ttl_minimum in opened
    )
    if rows == "[]":
        return []
    written = connection.execute(_INSERT, {"rows": rows, "now": now})
    return [
        Hint(Channel(channel), Lane(lane), attempt_id)
        for attempt_id, channel, lane, state in written
        if state == AttemptState.QUEUED
    ]


def new_reference() -> str:
    """A reference of ours for the provider: of its time, so that the index grows at its end."""
    return uuid7().hex


def update_attempts(connection: Connection, changed: Iterable[Attempt]) -> None:
    """Writes what the engine changed on attempts whose rows this transaction holds."""
    rows = as_rows(
        {
            "id": attempt.id,
            "state": attempt.state,
            "due_at": attempt.due_at,
            "error": attempt.error,
            "sent_at": attempt.sent_at,
            "delivered_at": attempt.delivered_at,
            "read_at": attempt.read_at,
            "ended_at": attempt.ended_at,
        }
        for attempt in changed
    )
    if rows != "[]":
        connection.execute(_UPDATE, {"rows": rows})
