"""What our books say of every attempt that was called: its references, its charge, its doubts."""

from __future__ import annotations

import datetime as dt
import uuid

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """An attempt that a provider may know of.

    `is_charged` with no `amount` is an unrated charge. `is_heard`: a receipt told of its delivery.
    """

    attempt_id: int
    message_id: uuid.UUID
    account: str
    client_ref: str
    provider_refs: tuple[str, ...]
    recipient: bytes = field(repr=False)  # sealed
    started_at: dt.datetime  # the first call
    unknown_at: dt.datetime | None  # when its call was found to be ambiguous
    is_heard: bool
    is_charged: bool
    amount: Decimal | None
    currency: str | None


_CALLED = text("""
    WITH refs AS MATERIALIZED (
        SELECT attempt_id, array_agg(DISTINCT ref) AS refs
        FROM cascade.provider_refs GROUP BY attempt_id
    ),
    heard AS MATERIALIZED (
        SELECT DISTINCT attempt_id FROM cascade.receipts
        WHERE attempt_id IS NOT NULL AND status >= 'delivered'
    )
    SELECT a.id, a.message_id, a.account, a.client_ref, refs.refs, m.recipient,
        coalesce(a.started_at, a.created_at) AS started_at, a.unknown_at,
        heard.attempt_id IS NOT NULL AS is_heard,
        c.attempt_id IS NOT NULL AS is_charged, c.amount, c.currency
    FROM cascade.attempts a
    JOIN cascade.messages m ON m.id = a.message_id
    LEFT JOIN refs ON refs.attempt_id = a.id
    LEFT JOIN heard ON heard.attempt_id = a.id
    LEFT JOIN cascade.charges c ON c.attempt_id = a.id
    WHERE a.started_at IS NOT NULL OR c.attempt_id IS NOT NULL
    ORDER BY a.id
""")


def called(connection: Connection) -> list[Called]:
    """Every attempt that was called or charged, in id order."""
    return [_called(row) for row in connection.execute(_CALLED)]


def _called(row: Row[Any]) -> Called:
    return Called(
        attempt_id=row.id,
        message_id=row.message_id,
        account=row.account,
        client_ref=row.client_ref,
        provider_refs=tuple(row.refs or ()),
        recipient=bytes(row.recipient),
        started_at=row.started_at,
        unknown_at=row.unknown_at,
        is_heard=row.is_heard,
        is_charged=row.is_charged,
        amount=row.amount,
        currency=row.currency,
    )
