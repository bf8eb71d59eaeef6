"""Attempts whose time is nearly over, at providers that can be asked about them."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.storage.database import CLOCK
from cascade.storage.inbox import match
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


# Their `due_at` is one receipt grace after `expires_at`, or earlier: the index serves this, too.
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

_TAKE_UNCONFIRMED = text("""
    WITH open AS MATERIALIZED (
        SELECT id FROM cascade.receipts
        WHERE asked IS NOT NULL AND due_at IS NOT NULL AND asked < looks
            AND account = ANY(CAST(:accounts AS text[]))
        ORDER BY id LIMIT :quota FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE cascade.receipts r SET asked = r.looks FROM open WHERE r.id = open.id RETURNING r.id
""")

_CALLED = text("""
    SELECT a.id, a.message_id, a.account, a.client_ref, a.provider_ref, m.recipient
    FROM cascade.attempts a JOIN cascade.messages m ON m.id = a.message_id
    WHERE a.id = ANY(CAST(:ids AS bigint[])) ORDER BY a.id
""")

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
    return [_unanswered(row) for row in connection.execute(_UNANSWERED, values)]


def unconfirmed(
    connection: Connection, accounts: Collection[str], *, quota: int
) -> list[Unanswered]:
    """The attempts of receipts of `accounts` that a poll must confirm: each receipt is named once
    after each look at it, whatever becomes of the poll.
    """
    taken = connection.execute(_TAKE_UNCONFIRMED, {"accounts": list(accounts), "quota": quota})
    receipts = match(connection, taken.scalars().all())
    ids = {one.attempt_id for one in receipts if one.is_unconfirmed and one.attempt_id is not None}
    return [_unanswered(row) for row in connection.execute(_CALLED, {"ids": as_ids(sorted(ids))})]


def mark_polled(connection: Connection, attempt_ids: Iterable[int]) -> None:
    """Notes that the provider has answered about them, whatever it said."""
    connection.execute(_POLLED, {"ids": as_ids(attempt_ids)})


def _unanswered(row: Row[Any]) -> Unanswered:
    return Unanswered(
        attempt_id=row.id,
        message_id=row.message_id,
        account=row.account,
        client_ref=row.client_ref,
        provider_ref=row.provider_ref,
        recipient=bytes(row.recipient),
    )
