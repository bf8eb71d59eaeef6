"""Attempts in the queue that a provider's limit makes wait: read, put off, or given up."""

from __future__ import annotations

import uuid

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

from cascade.storage.database import CLOCK
from cascade.storage.rows import as_ids, as_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """An attempt that may be claimed, as far as it can tell."""

    attempt_id: int
    account: str
    tries: int
    seconds_left: float  # of the waiting before the first call; later, of the TTL


_QUEUED = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now)
    SELECT a.id, a.account, a.tries, extract(epoch FROM a.expires_at - clock.now) AS seconds_left
    FROM cascade.attempts a CROSS JOIN clock
    WHERE a.id = ANY(CAST(:ids AS bigint[])) AND a.state = 'queued' AND a.expires_at > clock.now
    ORDER BY a.id
""")  # noqa: S608  # a constant

# What somebody else holds is being claimed, or published again, which asks again.
_PUT_OFF = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    late AS MATERIALIZED (
        SELECT a.id, clock.now + make_interval(secs => r.wait) AS slot
        FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, wait float8)
        JOIN cascade.attempts a ON a.id = r.id
        CROSS JOIN clock
        WHERE a.state = 'queued'
        ORDER BY a.id FOR NO KEY UPDATE OF a SKIP LOCKED
    )
    UPDATE cascade.attempts a SET due_at = least(late.slot, a.expires_at), hints = 0
    FROM late WHERE a.id = late.id
""")  # noqa: S608  # a constant

# Its waiting ends now; a TTL that runs already is never cut.
_GIVE_UP = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    hopeless AS MATERIALIZED (
        SELECT a.id FROM cascade.attempts a
        WHERE a.id = ANY(CAST(:ids AS bigint[])) AND a.state = 'queued' AND a.started_at IS NULL
        ORDER BY a.id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE cascade.attempts a
    SET expires_at = least(a.expires_at, clock.now), due_at = clock.now, error = 'rate_limit'
    FROM hopeless CROSS JOIN clock WHERE a.id = hopeless.id
    RETURNING a.id, a.message_id
""")  # noqa: S608  # a constant


def queued(connection: Connection, attempt_ids: Iterable[int]) -> list[Queued]:
    """Those of the attempts that wait for a claim, the oldest first; nothing is locked."""
    return [
        Queued(
            attempt_id=row.id,
            account=row.account,
            tries=row.tries,
            seconds_left=float(row.seconds_left),
        )
        for row in connection.execute(_QUEUED, {"ids": as_ids(attempt_ids)})
    ]


def put_off(connection: Connection, waits: Mapping[int, float]) -> None:
    """The tick publishes these attempts again in so many seconds, or when their time is over."""
    rows = as_rows({"id": one, "wait": wait} for one, wait in waits.items())
    connection.execute(_PUT_OFF, {"rows": rows})


def give_up(connection: Connection, attempt_ids: Iterable[int]) -> Mapping[int, uuid.UUID]:
    """Ends the waiting of attempts that were never called: message ids by those it is over for.

    Their steps are still open: whoever expires them opens the next ones.
    """
    rows = connection.execute(_GIVE_UP, {"ids": as_ids(attempt_ids)})
    return {row.id: row.message_id for row in rows}
