"""Attempts whose time is nearly over, at providers that can be asked about them."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from cascade.storage.database import CLOCK
from cascade.storage.rows import as_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """An attempt without a final word when its TTL is over."""

    attempt_id: int
    message_id: uuid.UUID
    account: str
    client_ref: str
    provider_ref: str | None
    recipient: bytes = field(repr=False)  # sealed


# Their `due_at` is one receipt grace after `expires_at`: the index serves this, too.
_UNANSWERED = text(f"""
    SELECT a.id, a.message_id, a.account, a.client_ref, a.provider_ref, m.recipient
    FROM cascade.attempts a JOIN cascade.messages m ON m.id = a.message_id
    WHERE a.lane = ANY(enum_range(NULL::cascade.lane))
        AND a.due_at <= {CLOCK} + CAST(:grace AS interval)
        AND a.state IN ('unknown', 'sent') AND a.account = ANY(CAST(:accounts AS text[]))
        AND a.expires_at <= {CLOCK}
        AND (a.polled_at IS NULL OR a.polled_at < a.expires_at)
    ORDER BY a.due_at LIMIT :quota
""")  # noqa: S608  # a constant

_POLLED = text(f"""
    WITH asked AS MATERIALIZED (
        SELECT id FROM cascade.attempts WHERE id = ANY(CAST(:ids AS bigint[]))
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE cascade.attempts a SET polled_at = {CLOCK} FROM asked WHERE a.id = asked.id
""")  # noqa: S608  # a constant


def unanswered(
    connection: Connection, accounts: Collection[str], *, quota: int, grace: dt.timedelta
) -> list[Unanswered]:
    """What to ask the providers of `accounts` about, the oldest first; nothing is locked."""
    values = {"accounts": list(accounts), "quota": quota, "grace": grace}
    return [
        Unanswered(
            attempt_id=row.id,
            message_id=row.message_id,
            account=row.account,
            client_ref=row.client_ref,
            provider_ref=row.provider_ref,
            recipient=bytes(row.recipient),
        )
        for row in connection.execute(_UNANSWERED, values)
    ]


def mark_polled(connection: Connection, attempt_ids: Iterable[int]) -> None:
    """Notes that the provider has answered about them, whatever it said."""
    connection.execute(_POLLED, {"ids": as_ids(attempt_ids)})
