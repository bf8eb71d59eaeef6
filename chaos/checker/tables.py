"""Our tables, as they stand: read in one snapshot, by plain SQL."""

from __future__ import annotations

import datetime as dt
import re
import uuid

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import psycopg2
import psycopg2.extras

from chaos.checker.json_lines import EvidenceError
from chaos.checker.ledger import Key


@dataclass(frozen=True, slots=True)
class Message:
    """A row of `messages`; `first_ended_at` is when it left `in_progress`, by the history."""

    id: uuid.UUID
    state: str
    deadline: dt.datetime
    first_ended_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of `attempts`; `begun_at` is when it first became `sending`, by the history.

    `intents` is when it became `sending` for all to see, in order: the times of the commits where
    PostgreSQL keeps them (`track_commit_timestamp`), else those of the changes.
    """

    id: int
    message_id: uuid.UUID
    channel: str
    key: Key
    ttl: int  # seconds, from `started_at`
    state: str
    started_at: dt.datetime | None
    unknown_at: dt.datetime | None
    delivered_at: dt.datetime | None
    begun_at: dt.datetime | None
    intents: list[dt.datetime]


@dataclass(frozen=True, slots=True)
class Charge:
    """A row of `charges`, or what was booked to correct one."""

    attempt_id: int
    amount: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Ref:
    """A row of `provider_refs`."""

    account: str
    ref: str
    attempt_id: int
    part: int
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """A row of `receipts`."""

    id: int
    account: str
    client_ref: str | None
    provider_ref: str | None
    status: str
    attempt_id: int | None
    received_at: dt.datetime
    applied_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the history."""

    attempt_id: int | None
    message_id: uuid.UUID | None
    old: str
    new: str
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """One snapshot; `read_at` is the database's time. Lists are in the order of ids."""

    read_at: dt.datetime
    attempt_states: list[str]  # in rank order
    messages: dict[uuid.UUID, Message]
    attempts: dict[int, Attempt]
    charges: list[Charge]
    corrections: list[Charge]
    refs: list[Ref]
    receipts: list[Receipt]
    changes: list[Change]

    def by_key(self) -> dict[Key, Attempt]:
        """Attempts by account and our reference."""
        return {one.key: one for one in self.attempts.values()}

    def charges_by_attempt(self) -> dict[int, list[Charge]]:
        """Those of one attempt in the order of booking."""
        found: dict[int, list[Charge]] = defaultdict(list)
        for charge in self.charges:
            found[charge.attempt_id].append(charge)
        return found


_MESSAGES = """
    WITH ends AS MATERIALIZED (
        SELECT message_id, min(at) AS at
        FROM chaos.history WHERE old = 'in_progress' AND message_id IS NOT NULL GROUP BY message_id
    )
    SELECT m.id, m.state, m.deadline, coalesce(ends.at, m.ended_at)
    FROM cascade.messages m LEFT JOIN ends ON ends.message_id = m.id ORDER BY m.id
"""
_ATTEMPTS = """
    WITH intents AS MATERIALIZED (
        SELECT attempt_id, array_agg({committed_at} ORDER BY {committed_at}) AS at,
            min(at) AS begun
        FROM chaos.history WHERE new = 'sending' AND attempt_id IS NOT NULL GROUP BY attempt_id
    )
    SELECT a.id, a.message_id, a.channel, a.account, a.client_ref, a.ttl, a.state,
        a.started_at, a.unknown_at, a.delivered_at, intents.begun, coalesce(intents.at, '{{}}')
    FROM cascade.attempts a LEFT JOIN intents ON intents.attempt_id = a.id ORDER BY a.id
"""
_CHARGES = (
    "SELECT attempt_id, amount, currency FROM cascade.charges ORDER BY attempt_id, booked_at"
)
_CORRECTIONS = "SELECT attempt_id, amount, currency FROM cascade.corrections ORDER BY id"
_REFS = "SELECT account, ref, attempt_id, part, created_at FROM cascade.provider_refs ORDER BY id"
_RECEIPTS = """
    SELECT id, account, client_ref, provider_ref, status, attempt_id, received_at, applied_at
    FROM cascade.receipts ORDER BY id
"""
_CHANGES = """
    SELECT attempt_id, message_id, old, new, at FROM chaos.history
    WHERE old IS NOT NULL ORDER BY id
"""

Row = TypeVar("Row")


def read_tables(url: str) -> Tables:
    """All that is judged, in one snapshot; raises EvidenceError."""
    try:
        connection = psycopg2.connect(re.sub(r"\+\w+(?=://)", "", url), connect_timeout=10)
        try:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with connection, connection.cursor() as cursor:
                return snapshot(cursor)
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise EvidenceError(f"the database cannot be read: {error}") from error


def snapshot(cursor: Any) -> Tables:
    """All that is judged, as a cursor's transaction sees it; raises psycopg2.Error."""
    psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]  # its stub has no types

    def rows(statement: str, make: Callable[..., Row]) -> list[Row]:
        cursor.execute(statement)
        return [make(*row) for row in cursor.fetchall()]

    [repairs] = rows("SELECT to_regclass('cascade.corrections') IS NOT NULL", bool)
    [tracks] = rows("SHOW track_commit_timestamp", str)
    # A transaction from before the tracking has no time.
    committed_at = (
        "coalesce(pg_xact_commit_timestamp(transaction), at)" if tracks == "on" else "at"
    )
    attempts = rows(_ATTEMPTS.format(committed_at=committed_at), _attempt)
    return Tables(
        read_at=rows("SELECT cascade.clock()", _itself)[0],
        attempt_states=rows("SELECT unnest(enum_range(NULL::cascade.attempt_state))", str),
        messages={one.id: one for one in rows(_MESSAGES, Message)},
        attempts={one.id: one for one in attempts},
        charges=rows(_CHARGES, Charge),
        corrections=rows(_CORRECTIONS, Charge) if repairs else [],
        refs=rows(_REFS, Ref),
        receipts=rows(_RECEIPTS, Receipt),
        changes=rows(_CHANGES, Change),
    )


def _itself(moment: dt.datetime) -> dt.datetime:
    return moment


def _attempt(  # a row
    id: int,  # noqa: A002  # the column's name
    message_id: uuid.UUID,
    channel: str,
    account: str,
    client_ref: str,
    *rest: Any,
) -> Attempt:
    return Attempt(id, message_id, channel, Key(account, client_ref), *rest)
