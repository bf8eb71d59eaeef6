"""Customers' endpoints: which there are, what is owed to each, and how each of them answers.

An endpoint that fails is paused for longer and longer, by one try at a time, and the others are
not concerned; after days of it, or by its own word, it is disabled, and what is owed to it waits.
"""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.domain.callback import Webhook
from cascade.domain.state import Channel, MessageState
from cascade.storage.database import CLOCK
from cascade.storage.rows import as_rows


LONGEST_PAUSE = dt.timedelta(minutes=5)  # between two tries of an endpoint that fails
PATIENCE = dt.timedelta(days=5)  # with an endpoint that takes nothing; then it is disabled
SILENCE = dt.timedelta(days=2)  # in which nothing was owed; what failed before does not count

_RESEND_SET = 5_000  # events of one transaction

_SYNC = text("""
    INSERT INTO cascade.endpoints (name) SELECT unnest(CAST(:names AS text[]))
    ON CONFLICT (name) DO NOTHING
""")

_FORGET = text("DELETE FROM cascade.endpoints WHERE name <> ALL(CAST(:names AS text[]))")

_NAMES = text("SELECT name FROM cascade.endpoints")

# An event waits while an earlier one of its message is owed, in flight or not. An endpoint that
# fails is tried once at a time: nobody else tries it while that is under way.
_CLAIM = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    open AS MATERIALIZED (
        SELECT p.name, CASE WHEN p.failing_since IS NULL THEN r.room ELSE 1 END AS room
        FROM json_to_recordset(CAST(:rooms AS json)) AS r(name text, room integer)
        JOIN cascade.endpoints p ON p.name = r.name
        CROSS JOIN clock
        WHERE p.disabled_at IS NULL AND p.next_try_at <= clock.now AND r.room > 0
        ORDER BY p.name FOR NO KEY UPDATE OF p SKIP LOCKED
    ),
    due AS MATERIALIZED (
        SELECT found.id, found.message_id, open.name
        FROM open CROSS JOIN clock CROSS JOIN LATERAL (
            SELECT e.id, e.message_id FROM cascade.events e
            WHERE e.endpoint = open.name AND e.due_at <= clock.now
                AND NOT EXISTS (SELECT FROM cascade.events earlier
                    WHERE earlier.message_id = e.message_id AND earlier.sequence < e.sequence
                        AND earlier.due_at IS NOT NULL)
            ORDER BY e.due_at LIMIT open.room
            FOR NO KEY UPDATE OF e SKIP LOCKED
        ) found
        LIMIT :quota
    ),
    tried AS (
        UPDATE cascade.endpoints p
        SET next_try_at = clock.now + CAST(:lease AS interval),
            failing_since = CASE WHEN p.next_try_at > clock.now - CAST(:silence AS interval)
                THEN p.failing_since END
        FROM (SELECT DISTINCT name FROM due) ours CROSS JOIN clock
        WHERE p.name = ours.name AND p.failing_since IS NOT NULL
    )
    UPDATE cascade.events e
    SET due_at = clock.now + CAST(:lease AS interval), tries = e.tries + 1
    FROM due JOIN cascade.messages m ON m.id = due.message_id CROSS JOIN clock
    WHERE e.id = due.id
    RETURNING e.id, e.message_id, e.sequence, e.state, e.tries, e.endpoint, e.happened_at,
        e.state = 'delivered' AND m.success_met AS success_met, m.content, clock.now,
        (SELECT a.channel FROM cascade.attempts a
            WHERE a.message_id = e.message_id AND e.state = 'delivered'
                AND a.delivered_at IS NOT NULL
            ORDER BY a.step, a.id LIMIT 1) AS channel
""")  # noqa: S608  # a constant

# The pause is half of the time for which it has failed: none at first, then longer and longer.
_NOTE = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    noted AS MATERIALIZED (
        SELECT p.name, r.was_told, r.is_gone, r.error,
            coalesce(p.failing_since, clock.now) AS failing_since
        FROM json_to_recordset(CAST(:rows AS json))
            AS r(name text, was_told boolean, is_gone boolean, error text)
        JOIN cascade.endpoints p ON p.name = r.name
        CROSS JOIN clock
        WHERE NOT r.was_told OR p.failing_since IS NOT NULL
        ORDER BY p.name FOR NO KEY UPDATE OF p
    )
    UPDATE cascade.endpoints p
    SET failing_since = CASE WHEN NOT n.was_told THEN n.failing_since END,
        next_try_at = CASE WHEN n.was_told THEN clock.now ELSE clock.now
            + least(CAST(:longest AS interval), (clock.now - n.failing_since) / 2) END,
        disabled_at = coalesce(p.disabled_at, CASE WHEN NOT n.was_told AND (n.is_gone
            OR n.failing_since <= clock.now - CAST(:patience AS interval)) THEN clock.now END),
        error = CASE WHEN NOT n.was_told THEN n.error END
    FROM noted n CROSS JOIN clock WHERE p.name = n.name
    RETURNING p.name, p.disabled_at = clock.now AS is_disabled_now
""")  # noqa: S608  # a constant

# One that leaves again what a process has claimed: that will be settled, or comes again soon.
_HASTEN = text(f"""
    UPDATE cascade.events SET due_at = {CLOCK}
    WHERE endpoint = :name AND due_at > {CLOCK} + CAST(:lease AS interval)
""")  # noqa: S608  # a constant

_ENABLE = text(f"""
    UPDATE cascade.endpoints
    SET disabled_at = NULL, failing_since = NULL, error = NULL, next_try_at = {CLOCK}
    WHERE name = :name RETURNING name
""")  # noqa: S608  # a constant

_RESEND = text(f"""
    UPDATE cascade.events SET due_at = {CLOCK}, tries = 0
    WHERE id IN (SELECT id FROM cascade.events
        WHERE due_at IS NULL AND told_at IS NULL AND tries > 0 AND endpoint = :name
            AND happened_at >= CAST(:since AS timestamptz)
        ORDER BY id LIMIT :quota FOR NO KEY UPDATE)
""")  # noqa: S608  # a constant

_STATES = text(f"""
    SELECT p.name, p.error,
        extract(epoch FROM {CLOCK} - p.failing_since) AS failing_for,
        extract(epoch FROM {CLOCK} - p.disabled_at) AS disabled_for
    FROM cascade.endpoints p ORDER BY p.name
""")  # noqa: S608  # a constant

_OWED = text("""
    SELECT endpoint, count(*) AS number FROM cascade.events
    WHERE due_at IS NOT NULL AND endpoint IS NOT NULL GROUP BY endpoint
""")

_GIVEN_UP = text("""
    SELECT endpoint, count(*) AS number FROM cascade.events
    WHERE due_at IS NULL AND told_at IS NULL AND tries > 0 AND endpoint IS NOT NULL
    GROUP BY endpoint
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How an endpoint answered a set of webhooks: one that was taken makes it well."""

    name: str
    was_told: bool
    is_gone: bool = False  # it does not want to hear any more
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """How things stand with one endpoint; times in seconds."""

    name: str
    failing_for: float | None  # since the first failure after which nothing was taken
    disabled_for: float | None
    error: str | None  # the newest, while it fails


def sync_endpoints(connection: Connection, names: Iterable[str]) -> None:
    """Makes these the endpoints that messages can name; what is owed to others waits for them."""
    values = {"names": sorted(names)}
    connection.execute(_SYNC, values)
    connection.execute(_FORGET, values)


def endpoint_names(connection: Connection) -> frozenset[str]:
    """The endpoints that messages can name."""
    return frozenset(connection.execute(_NAMES).scalars())


def claim_webhooks(
    connection: Connection, rooms: Mapping[str, int], *, quota: int, lease: dt.timedelta
) -> list[Webhook]:
    """Takes for `lease` what has been due longest, of a message only the next: for each endpoint
    as many as it has room for, `quota` in all.
    """
    rows = as_rows({"name": name, "room": rooms[name]} for name in sorted(rooms))
    values = {"rooms": rows, "quota": quota, "lease": lease, "silence": SILENCE}
    claimed = [_webhook(row) for row in connection.execute(_CLAIM, values)]
    return sorted(claimed, key=lambda webhook: webhook.event_id)


def note_answers(connection: Connection, answers: Iterable[Answered]) -> list[str]:
    """Writes how endpoints answered, one row for each; the names of those disabled by it."""
    rows = as_rows(
        {
            "name": answer.name,
            "was_told": answer.was_told,
            "is_gone": answer.is_gone,
            "error": answer.error,
        }
        for answer in answers
    )
    values = {"rows": rows, "longest": LONGEST_PAUSE, "patience": PATIENCE}
    return sorted(row.name for row in connection.execute(_NOTE, values) if row.is_disabled_now)


def enable(connection: Connection, name: str, *, lease: dt.timedelta) -> bool:
    """Lets an endpoint hear all that is owed to it, now; whether there is such an endpoint.

    `lease`: events that are due again within it are left alone, since they may be in flight.
    """
    is_known = connection.execute(_ENABLE, {"name": name}).one_or_none() is not None
    if is_known:
        connection.execute(_HASTEN, {"name": name, "lease": lease})
    return is_known


def resend(connection: Connection, name: str, since: dt.datetime) -> int:
    """Owes again what was given up, of events since then (aware): at most a set; how many."""
    values = {"name": name, "since": since, "quota": _RESEND_SET}
    return connection.execute(_RESEND, values).rowcount


def endpoint_states(connection: Connection) -> list[EndpointState]:
    """All of them, by name."""
    return [
        EndpointState(
            name=row.name,
            failing_for=None if row.failing_for is None else float(row.failing_for),
            disabled_for=None if row.disabled_for is None else float(row.disabled_for),
            error=row.error,
        )
        for row in connection.execute(_STATES)
    ]


def owed_webhooks(connection: Connection) -> Mapping[str, int]:
    """How many events are still to be told, by endpoint, of those that are not known too."""
    return {row.endpoint: row.number for row in connection.execute(_OWED)}


def given_up_webhooks(connection: Connection) -> Mapping[str, int]:
    """How many events were given up, by endpoint."""
    return {row.endpoint: row.number for row in connection.execute(_GIVEN_UP)}


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        event_id=row.id,
        message_id=row.message_id,
        sequence=row.sequence,
        state=MessageState(row.state),
        tries=row.tries,
        endpoint=row.endpoint,
        happened_at=row.happened_at,
        success_met=row.success_met,
        channel=None if row.channel is None else Channel(row.channel),
        content=bytes(row.content),
        posted_at=row.now,
    )
