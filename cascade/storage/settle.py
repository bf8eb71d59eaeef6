"""What became of calls, as far as it concerns the attempt alone.

These statements touch attempts only; results that end a step go through `cascades` and the engine.
"""

from __future__ import annotations

import datetime as dt

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, text

from cascade.storage.database import CLOCK
from cascade.storage.rows import as_rows


class Taken(NamedTuple):
    """The provider took it: its references, and the TTL in seconds it was given (0 for none)."""

    attempt_id: int
    account: str
    tries: int
    refs: tuple[str, ...]
    ttl: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """Nobody knows whether the provider took it."""

    attempt_id: int
    tries: int
    code: str
    ttl: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """The provider provably did not take it; try again after `pause` seconds."""

    attempt_id: int
    tries: int
    code: str
    pause: float


# A fact: it joins the lattice whoever brings it, and however late. While the provider may still
# deliver, we do not fall back: the TTL it was given counts from its answer.
_TAKEN = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    answered AS MATERIALIZED (
        SELECT a.id, r.ref, clock.now + make_interval(secs => r.ttl) AS provider_until
        FROM json_to_recordset(CAST(:rows AS json)) AS r(id bigint, ref text, ttl integer)
        JOIN cascade.attempts a ON a.id = r.id
        CROSS JOIN clock
        ORDER BY a.id FOR NO KEY UPDATE OF a
    )
    UPDATE cascade.attempts a
    SET state = greatest(a.state, 'sent'), provider_ref = coalesce(answered.ref, a.provider_ref),
        sent_at = coalesce(a.sent_at, clock.now), lease_until = NULL,
        error = CASE WHEN a.state <= 'sent' THEN NULL ELSE a.error END,
        expires_at = greatest(a.expires_at, answered.provider_until),
        due_at = CASE WHEN a.ended_at IS NULL THEN least(a.due_at,
            greatest(a.expires_at, answered.provider_until) + CAST(:grace AS interval)) END
    FROM answered CROSS JOIN clock
    WHERE a.id = answered.id
""")  # noqa: S608  # a constant

_REFS = text(f"""
    INSERT INTO cascade.provider_refs (account, ref, attempt_id, part, try, created_at)
    SELECT account, ref, attempt_id, part, tries, {CLOCK}
    FROM json_to_recordset(CAST(:rows AS json))
        AS r(account text, ref text, attempt_id bigint, part smallint, tries smallint)
""")  # noqa: S608  # a constant

_UNCLEAR = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    silent AS MATERIALIZED (
        SELECT a.id, r.tries, r.code, clock.now + make_interval(secs => r.ttl) AS provider_until
        FROM json_to_recordset(CAST(:rows AS json))
            AS r(id bigint, tries smallint, code text, ttl integer)
        JOIN cascade.attempts a ON a.id = r.id
        CROSS JOIN clock
        ORDER BY a.id FOR NO KEY UPDATE OF a
    )
    UPDATE cascade.attempts a
    SET state = greatest(a.state, 'unknown'), unknown_at = clock.now, lease_until = NULL,
        error = CASE WHEN a.state <= 'unknown' THEN coalesce(a.error, silent.code) ELSE a.error END,
        expires_at = greatest(a.expires_at, silent.provider_until),
        due_at = CASE WHEN a.ended_at IS NULL THEN least(a.due_at,
            greatest(a.expires_at, silent.provider_until) + CAST(:grace AS interval)) END
    FROM silent CROSS JOIN clock
    WHERE a.id = silent.id AND a.tries = silent.tries AND a.state >= 'sending'
""")  # noqa: S608  # a constant

# A decision: fenced by state and try number, so a stalled process cannot bring a call back.
_UNSENT = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now),
    refused AS MATERIALIZED (
        SELECT a.id, r.tries, r.code, clock.now + make_interval(secs => r.pause) AS again_at
        FROM json_to_recordset(CAST(:rows AS json))
            AS r(id bigint, tries smallint, code text, pause float8)
        JOIN cascade.attempts a ON a.id = r.id
        CROSS JOIN clock
        ORDER BY a.id FOR NO KEY UPDATE OF a
    )
    UPDATE cascade.attempts a
    SET state = 'retry', lease_until = NULL, error = refused.code,
        due_at = least(refused.again_at, a.expires_at)
    FROM refused
    WHERE a.id = refused.id AND a.tries = refused.tries AND a.state = 'sending'
        AND a.ended_at IS NULL
""")  # noqa: S608  # a constant


def settle_taken(connection: Connection, taken: Sequence[Taken], grace: dt.timedelta) -> None:
    """The provider's acceptance and its references, for looking up receipts."""
    rows = as_rows(
        {"id": one.attempt_id, "ref": one.refs[0] if one.refs else None, "ttl": one.ttl}
        for one in taken
    )
    connection.execute(_TAKEN, {"rows": rows, "grace": grace})
    refs = [
        {
            "account": one.account,
            "ref": ref,
            "attempt_id": one.attempt_id,
            "part": part,
            "tries": one.tries,
        }
        for one in taken
        for part, ref in enumerate(one.refs)
    ]
    if refs:
        connection.execute(_REFS, {"rows": as_rows(refs)})


def settle_unclear(
    connection: Connection, unclear: Sequence[Unclear], grace: dt.timedelta
) -> None:
    """Ambiguity is a state: wait for a receipt or a poll until the TTL is over."""
    rows = as_rows(
        {"id": one.attempt_id, "tries": one.tries, "code": one.code, "ttl": one.ttl}
        for one in unclear
    )
    connection.execute(_UNCLEAR, {"rows": rows, "grace": grace})


def settle_unsent(connection: Connection, unsent: Sequence[Unsent]) -> int:
    """Back to `retry`, not beyond the end of the TTL; returns how many rows moved."""
    rows = as_rows(
        {"id": one.attempt_id, "tries": one.tries, "code": one.code, "pause": one.pause}
        for one in unsent
    )
    return connection.execute(_UNSENT, {"rows": rows}).rowcount
