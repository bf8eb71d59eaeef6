"""The inbox of receipts: stored before they are acknowledged, taken in sets, matched, applied."""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from cascade.domain.state import AttemptState
from cascade.storage.database import CLOCK
from cascade.storage.members import ATTEMPT_STATES
from cascade.storage.rows import as_ids, as_rows


MATCH_WINDOW = dt.timedelta(days=8)  # a provider's reference is looked up this far back
# A receipt may seem to come this long before its call, as the clock may have stepped back.
CALL_TOLERANCE = dt.timedelta(minutes=1)
DEFER_PATIENCE = dt.timedelta(hours=72)  # then a receipt that cannot be applied is set aside


class NewReceipt(NamedTuple):
    """A receipt to be stored; `raw` is sealed, `dedupe_key` is equal for a repeated receipt.

    An unconfirmed one says that a message was delivered, which a poll must say, too.
    """

    account: str
    status: AttemptState
    native_status: str
    native_code: str
    client_ref: str | None
    provider_ref: str | None
    event_at: dt.datetime | None
    dedupe_key: bytes
    raw: bytes
    is_unconfirmed: bool = False


class Unapplied(NamedTuple):
    """A receipt whose row this transaction holds, with the attempt it belongs to, if known."""

    id: int
    status: AttemptState
    code: str
    received_at: dt.datetime
    attempt_id: int | None
    message_id: str | None  # as text, since most are only passed on
    is_unconfirmed: bool = False  # it would charge, and waits for a poll that says the same


# The clock is read once for all of them: by the columns' defaults it would be twice for each.
_STORE = text(f"""
    INSERT INTO cascade.receipts (account, status, native_status, native_code, client_ref,
        provider_ref, event_at, dedupe_key, raw, asked, received_at, due_at)
    SELECT account, status, native_status, native_code, client_ref, provider_ref, event_at,
        dedupe_key, raw, CASE WHEN is_unconfirmed THEN 0 END, {CLOCK}, {CLOCK}
    FROM json_to_recordset(CAST(:rows AS json)) AS r(account text, status cascade.attempt_state,
        native_status text, native_code text, client_ref text, provider_ref text,
        event_at timestamptz, dedupe_key bytea, raw bytea, is_unconfirmed boolean)
    ON CONFLICT (dedupe_key) DO NOTHING
""")  # noqa: S608  # a constant

_TAKE = text(f"""
    SELECT id FROM cascade.receipts
    WHERE due_at <= {CLOCK} ORDER BY due_at, id LIMIT :quota
    FOR UPDATE SKIP LOCKED
""")  # noqa: S608  # a constant

# Our own reference first; else the newest attempt that the provider gave this reference to. What
# came before its call is about another message: ids restart, and an account may be shared. One look
# into the index for each receipt, whatever the statistics say: a join could read all attempts.
_MATCH = text("""
    SELECT r.id, r.status, coalesce(nullif(r.native_code, ''), r.native_status) AS code,
        r.received_at, coalesce(own.id, theirs.id) AS attempt_id,
        CAST(coalesce(own.message_id, theirs.message_id) AS text) AS message_id,
        r.asked IS NOT NULL
            AND coalesce(own.delivered_at, theirs.delivered_at) IS NULL AS is_unconfirmed
    FROM cascade.receipts r
    LEFT JOIN LATERAL (
        SELECT a.id, a.message_id, a.delivered_at FROM cascade.attempts a
        WHERE a.client_ref = r.client_ref AND a.account = r.account OFFSET 0
    ) own ON true
    LEFT JOIN LATERAL (
        SELECT p.attempt_id FROM cascade.provider_refs p
        JOIN cascade.attempts called ON called.id = p.attempt_id
        WHERE own.id IS NULL AND p.account = r.account AND p.ref = r.provider_ref
            AND called.started_at <= r.received_at + CAST(:call_tolerance AS interval)
            AND p.created_at > r.received_at - CAST(:match_window AS interval)
        ORDER BY p.id DESC LIMIT 1
    ) newest ON true
    LEFT JOIN cascade.attempts theirs ON theirs.id = newest.attempt_id
    WHERE r.id = ANY(CAST(:ids AS bigint[]))
    ORDER BY r.id
""")

_APPLY = text(f"""
    UPDATE cascade.receipts r SET applied_at = {CLOCK}, due_at = NULL, attempt_id = a.attempt_id
    FROM unnest(CAST(:ids AS bigint[]), CAST(:attempt_ids AS bigint[])) AS a(id, attempt_id)
    WHERE r.id = a.id
""")  # noqa: S608  # a constant

# After 1, 2, 4 … seconds, since a receipt may come before the call's answer is settled; after a
# quarter of an hour, hourly, since a key, a schema or a disk may come back.
_DEFER = text(f"""
    UPDATE cascade.receipts r SET looks = r.looks + 1,
        due_at = CASE WHEN r.received_at > {CLOCK} - CAST(:patience AS interval)
            THEN {CLOCK} + make_interval(secs => CASE WHEN r.looks < 10 THEN 2 ^ r.looks
                ELSE 3600 END) END
    WHERE r.id = ANY(CAST(:ids AS bigint[])) AND r.due_at IS NOT NULL
    RETURNING r.due_at IS NULL OR r.looks = 10 AS is_alarming
""")  # noqa: S608  # a constant


def store(connection: Connection, receipts: Sequence[NewReceipt]) -> int:
    """Adds the receipts that are not there yet; returns how many were new."""
    rows = as_rows(
        {
            "account": receipt.account,
            "status": receipt.status,
            "native_status": receipt.native_status,
            "native_code": receipt.native_code,
            "client_ref": receipt.client_ref,
            "provider_ref": receipt.provider_ref,
            "event_at": receipt.event_at,
            "dedupe_key": receipt.dedupe_key,
            "raw": receipt.raw,
            "is_unconfirmed": receipt.is_unconfirmed,
        }
        # Sorted: two sets with the same receipts in opposite order would deadlock.
        for receipt in sorted(receipts, key=lambda receipt: receipt.dedupe_key)
    )
    return connection.execute(_STORE, {"rows": rows}).rowcount


def take(connection: Connection, quota: int) -> list[int]:
    """Locks and names the oldest due receipts that nobody else holds."""
    return list(connection.execute(_TAKE, {"quota": quota}).scalars())


def match(connection: Connection, receipt_ids: Iterable[int]) -> list[Unapplied]:
    """The receipts with the attempts they belong to."""
    values = {
        "ids": as_ids(receipt_ids),
        "match_window": MATCH_WINDOW,
        "call_tolerance": CALL_TOLERANCE,
    }
    return [
        Unapplied(receipt_id, ATTEMPT_STATES[status], *rest)
        for receipt_id, status, *rest in connection.execute(_MATCH, values).all()
    ]


def mark_applied(connection: Connection, attempts: Mapping[int, int]) -> None:
    """Marks receipts as applied: attempt ids by receipt ids."""
    values = {"ids": as_ids(attempts), "attempt_ids": as_ids(attempts.values())}
    connection.execute(_APPLY, values)


def defer(connection: Connection, receipt_ids: Iterable[int]) -> int:
    """Looks at them again later, with growing pauses.

    Returns how many ask for a person: those that found nothing for a quarter of an hour, and those
    that are set aside for good.
    """
    values = {"ids": as_ids(receipt_ids), "patience": DEFER_PATIENCE}
    return sum(row.is_alarming for row in connection.execute(_DEFER, values))
