"""Taking attempts for a call: intent before effect.

A claim commits `sending` with its lease before the provider is called. It locks attempts only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, text
from typing_extensions import override

from cascade.storage.database import CLOCK
from cascade.storage.rows import as_ids


class Claimed(NamedTuple):
    """An attempt that this process alone may send, until its lease ends."""

    attempt_id: int
    message_id: str  # as text, since it is only passed on
    account: str
    client_ref: str
    tries: int  # the fence of retries
    seconds_left: float  # of the TTL
    ttl_minimum: int  # seconds
    recipient: bytes  # sealed
    recipient_hash: bytes  # keyed
    content: bytes  # sealed

    @override
    def __repr__(self) -> str:
        return f"Claimed(attempt_id={self.attempt_id}, tries={self.tries})"


# Attempts whose time is over, or too short for the provider, are left to the tick. The first call
# turns `expires_at` from the end of the waiting into the end of the TTL; later ones leave it.
# `due_at` stays at the patience with the hint, which is no longer than the lease: the tick moves it
# on for those few that still live then.
_CLAIM = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    free AS MATERIALIZED (
        SELECT a.id, m.deadline, m.recipient, m.recipient_hash, m.content
        FROM cascade.attempts a
        JOIN cascade.messages m ON m.id = a.message_id
        CROSS JOIN clock
        WHERE a.id = ANY(CAST(:ids AS bigint[]))
            AND a.state = 'queued' AND a.expires_at > clock.now
            AND m.state = 'in_progress'
            AND m.deadline >= clock.now + make_interval(secs => greatest(a.ttl_minimum, 1))
        ORDER BY a.id
        FOR NO KEY UPDATE OF a SKIP LOCKED
    )
    UPDATE cascade.attempts a
    SET state = 'sending', tries = a.tries + 1, hints = 0,
        started_at = coalesce(a.started_at, clock.now),
        expires_at = CASE WHEN a.started_at IS NULL
            THEN least(clock.now + make_interval(secs => a.ttl), free.deadline)
            WHEN a.ttl_minimum > 0  -- a late retry is given the provider's minimum all the same
            THEN greatest(a.expires_at, clock.now + make_interval(secs => a.ttl_minimum))
            ELSE a.expires_at END,
        lease_until = clock.now + make_interval(secs => :lease),
        due_at = least(a.due_at, clock.now + make_interval(secs => :lease))
    FROM free CROSS JOIN clock
    WHERE a.id = free.id
    RETURNING a.id, CAST(a.message_id AS text), a.account, a.client_ref, a.tries,
        CAST(extract(epoch FROM a.expires_at - clock.now) AS float8) AS seconds_left,
        a.ttl_minimum, free.recipient, free.recipient_hash, free.content
""")  # noqa: S608  # a constant


def claim(connection: Connection, attempt_ids: Iterable[int], *, lease: float) -> list[Claimed]:
    """Claims these attempts for `lease` seconds; those that others hold are passed by."""
    rows = connection.execute(_CLAIM, {"ids": as_ids(attempt_ids), "lease": lease}).all()
    return [Claimed(*row[:7], *map(bytes, row[7:])) for row in rows]
