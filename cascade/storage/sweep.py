"""What the tick finds: rows whose `due_at` is over."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, text

from cascade.domain.engine import HINT_PATIENCE, RECEIPT_GRACE
from cascade.domain.hint import Hint
from cascade.domain.state import Channel, Lane
from cascade.storage.cascades import ATTEMPTS_OF
from cascade.storage.culprit import change_due
from cascade.storage.database import CLOCK
from cascade.storage.inbox import CALL_TOLERANCE
from cascade.storage.rows import as_ids


POLL_PATIENCE = dt.timedelta(seconds=5)  # how long an expiry waits for the answer of a poll
GAP = dt.timedelta(seconds=5)  # ticks further apart than this follow an outage
LAG_LIMIT = dt.timedelta(seconds=5)  # receipts that wait longer hold up their account's expiries
LAG_PATIENCE = dt.timedelta(minutes=10)  # and this bounds the hold-up

# A clock that stepped back must not stop it. After a gap, `resumed_at` gives polls their turn; not
# after each of many gaps, since ticks that are slow for good would hold up expiries for good.
_TICK = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now)
    UPDATE cascade.ticks t SET ticked_at = clock.now,
        resumed_at = CASE
            WHEN t.ticked_at <= clock.now - CAST(:gap AS interval) AND t.resumed_at < t.ticked_at
            THEN clock.now ELSE least(t.resumed_at, clock.now) END
    FROM clock
    WHERE t.name = :name AND (t.ticked_at <= clock.now - CAST(:pause AS interval)
        OR t.ticked_at > clock.now + CAST(:gap AS interval))
    RETURNING t.ticked_at
""")  # noqa: S608  # a constant

_RELEASE = text(f"""
    UPDATE cascade.ticks SET ticked_at = {CLOCK} - CAST(:pause AS interval) WHERE name = :name
""")  # noqa: S608  # a constant

# The first entry of each lane in the index of what is due: EXISTS would read the whole table.
_DUE_LANES = text(f"""
    SELECT l.lane FROM unnest(enum_range(CAST(NULL AS cascade.lane))) AS l(lane)
    WHERE (SELECT a.due_at FROM cascade.attempts a
        WHERE a.lane = l.lane AND a.due_at IS NOT NULL ORDER BY a.due_at LIMIT 1) <= {CLOCK}
    ORDER BY l.lane
""")  # noqa: S608  # a constant

# Taken apart from the rows, so that they are read in the index's order until there are enough.
_NOW = "(SELECT now FROM clock)"
_WITH_CLOCK = f"WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now) "

# Scheduled starts, retries and hints that got lost: queued (again), with a doubling patience.
_TO_QUEUE = f"""
        SELECT a.id
        FROM cascade.attempts a
        JOIN cascade.messages m ON m.id = a.message_id
        WHERE a.lane = CAST(:lane AS cascade.lane) AND a.due_at <= {_NOW}
            AND a.state IN ('scheduled', 'queued', 'retry') AND a.expires_at > {_NOW}
            AND a.channel = ANY(:channels) AND m.state = 'in_progress'
        ORDER BY a.due_at LIMIT :quota
        FOR NO KEY UPDATE OF a SKIP LOCKED
"""  # noqa: S608  # constants
_REQUEUE = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    due AS MATERIALIZED (
{_TO_QUEUE}    )
    UPDATE cascade.attempts a
    SET state = 'queued', hints = least(a.hints + 1, 10),
        due_at = least(a.expires_at, clock.now
            + make_interval(secs => least(300, :patience * 2 ^ least(a.hints, 10))))
    FROM due CROSS JOIN clock
    WHERE a.id = due.id
    RETURNING a.id, a.channel, a.lane
""")  # noqa: S608  # a constant

# A claim and its result leave `due_at` where it was, since moving it would write all indexes anew.
# Most attempts have ended by then; what has not is looked at when there is something to do.
_UNDER_WAY = f"""
        SELECT a.id, coalesce(a.lease_until, a.expires_at + CAST(:grace AS interval)) AS due_at
        FROM cascade.attempts a
        WHERE a.lane = CAST(:lane AS cascade.lane) AND a.due_at <= {_NOW}
            AND a.state IN ('sending', 'unknown', 'sent', 'delivered')
            AND coalesce(a.lease_until, a.expires_at + CAST(:grace AS interval)) > {_NOW}
        ORDER BY a.due_at LIMIT :quota
        FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608  # constants
_POSTPONE = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    early AS MATERIALIZED (
{_UNDER_WAY}    )
    UPDATE cascade.attempts a SET due_at = early.due_at FROM early WHERE a.id = early.id
    RETURNING a.id
""")  # noqa: S608  # a constant

# Who held the lease is gone: the call may have been made as late as the lease's end, and its
# provider may deliver for the whole TTL it was given, which was at least its minimum. A receipt may
# have come meanwhile: then only the times are put right.
_BROKEN = f"""
        SELECT a.id, CASE WHEN a.ttl_minimum = 0 THEN a.expires_at
            ELSE greatest(a.expires_at + CAST(:lease AS interval),
                a.lease_until + make_interval(secs => a.ttl_minimum)) END AS provider_until
        FROM cascade.attempts a
        WHERE a.lane = CAST(:lane AS cascade.lane) AND a.due_at <= {_NOW}
            AND a.state IN ('sending', 'sent', 'delivered') AND a.lease_until <= {_NOW}
        ORDER BY a.due_at LIMIT :quota
        FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608  # constants
_BREAK_LEASES = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    broken AS MATERIALIZED (
{_BROKEN}    )
    UPDATE cascade.attempts a
    SET state = greatest(a.state, 'unknown'), lease_until = NULL,
        unknown_at = CASE WHEN a.state = 'sending' THEN clock.now ELSE a.unknown_at END,
        error = CASE WHEN a.state = 'sending' THEN coalesce(a.error, 'lease') ELSE a.error END,
        expires_at = broken.provider_until,
        due_at = broken.provider_until + CAST(:grace AS interval)
    FROM broken CROSS JOIN clock
    WHERE a.id = broken.id AND a.lease_until IS NOT NULL
    RETURNING a.id
""")  # noqa: S608  # a constant

# Receipts that are not applied yet, and the attempts that they name by the provider's reference.
_UNAPPLIED = """
    unapplied AS MATERIALIZED (
        SELECT account, client_ref, provider_ref, received_at, looks
        FROM cascade.receipts WHERE due_at IS NOT NULL
            -- an unconfirmed delivery may be forged: it holds up nothing for longer than 7 s
            AND (asked IS NULL OR looks <= 3)
    ),
    named AS MATERIALIZED (
        SELECT p.attempt_id FROM unapplied u CROSS JOIN LATERAL (
            SELECT r.attempt_id FROM cascade.provider_refs r
            JOIN cascade.attempts t ON t.id = r.attempt_id
            WHERE r.account = u.account AND r.ref = u.provider_ref
                AND t.started_at <= u.received_at + CAST(:call_tolerance AS interval)
            OFFSET 0  -- one look into the index for each, whatever the statistics say
        ) p
    )"""

# Candidates only: the tick locks messages first and asks the engine again. An expiry waits for a
# poll's answer, for receipts of its own, and while its account's receipts lag behind.
_EXPIRED = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    {_UNAPPLIED},
    lagging AS MATERIALIZED (
        SELECT DISTINCT u.account FROM unapplied u CROSS JOIN clock
        WHERE u.looks = 0 AND u.received_at < clock.now - CAST(:lag_limit AS interval)
    )
    SELECT a.id, a.message_id
    FROM cascade.attempts a
    WHERE a.lane = CAST(:lane AS cascade.lane) AND a.due_at <= {_NOW}
        AND (
            (
                a.state IN ('scheduled', 'queued', 'retry')
                AND (a.expires_at <= {_NOW} OR (SELECT m.state FROM cascade.messages m
                    WHERE m.id = a.message_id) <> 'in_progress')
            )
            OR (
                a.state IN ('unknown', 'sent', 'delivered') AND a.lease_until IS NULL
                AND a.expires_at + CAST(:grace AS interval) <= {_NOW}
                AND (
                    NOT a.account = ANY(CAST(:pollable AS text[]))
                    OR a.polled_at >= a.expires_at
                    OR greatest(a.expires_at + CAST(:grace AS interval),
                        (SELECT resumed_at FROM cascade.ticks WHERE name = 'tick'))
                        <= {_NOW} - CAST(:poll_patience AS interval)
                )
                AND NOT EXISTS (SELECT FROM unapplied u
                    WHERE u.account = a.account AND u.client_ref = a.client_ref)
                AND NOT EXISTS (SELECT FROM named n WHERE n.attempt_id = a.id)
                AND (
                    NOT EXISTS (SELECT FROM lagging l WHERE l.account = a.account)
                    OR a.expires_at + CAST(:grace AS interval)
                        <= {_NOW} - CAST(:lag_patience AS interval)
                )
            )
        )
    ORDER BY a.due_at LIMIT :quota
""")  # noqa: S608  # a constant


# Asked again under the messages' locks: receipts may have come since the candidates were read.
_AWAITING = text(f"""
    WITH {_UNAPPLIED}
    SELECT DISTINCT a.message_id FROM cascade.attempts a
    WHERE a.id = ANY({ATTEMPTS_OF}) AND a.due_at IS NOT NULL
        AND (
            EXISTS (SELECT FROM unapplied u
                WHERE u.account = a.account AND u.client_ref = a.client_ref)
            OR EXISTS (SELECT FROM named n WHERE n.attempt_id = a.id)
        )
""")  # noqa: S608  # a constant

# A message that no rule can handle must not come first at every tick.
_DEFER = text(f"""
    UPDATE cascade.attempts
    SET hints = least(hints + 1, 12),
        due_at = {CLOCK} + make_interval(secs => least(3600, 2 ^ least(hints + 1, 12)))
    WHERE message_id = :id AND due_at <= {CLOCK}
        AND (lease_until IS NULL OR lease_until <= {CLOCK})
""")  # noqa: S608  # a constant


def begin(connection: Connection, name: str, pause: dt.timedelta) -> bool:
    """Whether it is the turn of the periodic work `name`: not again within `pause`.

    Another beat's task of the same moment finds nothing to do.
    """
    values = {"name": name, "pause": pause, "gap": GAP}
    return connection.execute(_TICK, values).first() is not None


def finish(connection: Connection, name: str, pause: dt.timedelta) -> None:
    """Gives the turn back before its `pause` is over."""
    connection.execute(_RELEASE, {"name": name, "pause": pause})


def due_lanes(connection: Connection) -> list[Lane]:
    """The lanes in which something is due, the most urgent first."""
    return [Lane(lane) for lane in connection.execute(_DUE_LANES).scalars()]


def requeue(connection: Connection, lane: Lane, quota: int) -> list[Hint]:
    """Queues what is due to be sent and returns the hints to publish."""
    patience = HINT_PATIENCE[lane].total_seconds()
    values = {"lane": lane, "channels": list(Channel), "patience": patience}
    candidates = text(_WITH_CLOCK + _TO_QUEUE)
    rows = change_due(connection, _REQUEUE, candidates, values, quota=quota)
    return [Hint(Channel(row.channel), Lane(row.lane), row.id) for row in rows]


def postpone(connection: Connection, lane: Lane, quota: int) -> int:
    """Puts off the look at calls under lease and TTLs that run, until these are over.

    Returns how many there were.
    """
    values = {"lane": lane, "grace": RECEIPT_GRACE}
    candidates = text(_WITH_CLOCK + _UNDER_WAY)
    return len(change_due(connection, _POSTPONE, candidates, values, quota=quota))


def break_leases(
    connection: Connection,
    lane: Lane,
    quota: int,
    *,
    lease: dt.timedelta,
    grace: dt.timedelta,
) -> int:
    """Turns calls that nobody settled into `unknown`, or what receipts say; returns how many."""
    values = {"lane": lane, "lease": lease, "grace": grace}
    candidates = text(_WITH_CLOCK + _BROKEN)
    return len(change_due(connection, _BREAK_LEASES, candidates, values, quota=quota))


def expired(
    connection: Connection, lane: Lane, quota: int, *, pollable: Collection[str]
) -> Mapping[int, uuid.UUID]:
    """Message ids by the ids of attempts whose time seems to be over; nothing is locked."""
    values = {
        "lane": lane,
        "quota": quota,
        "pollable": list(pollable),
        "poll_patience": POLL_PATIENCE,
        "lag_limit": LAG_LIMIT,
        "lag_patience": LAG_PATIENCE,
        "call_tolerance": CALL_TOLERANCE,
        "grace": RECEIPT_GRACE,
    }
    return {row.id: row.message_id for row in connection.execute(_EXPIRED, values)}


def awaiting(connection: Connection, message_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Of these messages, those with receipts that are not applied yet."""
    values = {"ids": as_ids(message_ids), "call_tolerance": CALL_TOLERANCE}
    return set(connection.execute(_AWAITING, values).scalars())


def defer(connection: Connection, message_id: uuid.UUID) -> None:
    """Looks at the message's due attempts again later, with doubling pauses up to an hour."""
    connection.execute(_DEFER, {"id": message_id})
