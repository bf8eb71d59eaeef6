"""Our books and a provider's record side by side, in the database.

The record goes into a temporary table, and set-based statements leave out all that agrees: what a
process reads, and holds in memory, grows with what does not agree, not with the books.
"""

from __future__ import annotations

import datetime as dt
import itertools

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.domain.books import Line
from cascade.domain.discrepancy import Posted
from cascade.domain.money import Amount
from cascade.domain.state import AttemptState
from cascade.storage.rows import as_ids, as_rows


PATIENCE = dt.timedelta(minutes=10)  # for one statement: a year of attempts is a lot to read
SET = 2000  # lines that are written at once
NEAR = dt.timedelta(minutes=5)  # between a call and the acceptance of its line, at most
BEYOND = dt.timedelta(hours=1)  # of the period: a line and its call may stand on both sides of it


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` up to, but not at, `until`; both aware."""

    since: dt.datetime
    until: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the database found: how much agrees, and all that does not."""

    period: Period
    lines: int  # of the record, within the period
    outside: int  # of the record, before or after it
    agreed: int  # lines with exactly one attempt, and the same amount
    posted: Mapping[int, Facts]  # attempts that something is to be said of, by id
    unpaired: tuple[Line, ...]  # lines that do not agree, or have no attempt
    set_aside: tuple[SetAside, ...]
    last_correction: int  # of those that were taken in


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """An attempt, and what it can be paired by. `recipient_hash` is hexadecimal."""

    posted: Posted
    provider_refs: tuple[str, ...]
    recipient_hash: str
    was_called: bool
    unknown_at: dt.datetime | None
    answered_at: dt.datetime | None  # when the call's answer was settled, or nearly


@dataclass(frozen=True, slots=True)
class SetAside:
    """A receipt of a delivery whose attempt was never found."""

    account: str
    ref: str | None
    received_at: dt.datetime


_TABLE = text("""
    CREATE TEMPORARY TABLE record_lines (
        line bigint PRIMARY KEY, account text NOT NULL, ref text NOT NULL, client_ref text,
        recipient_hash bytea, accepted_at timestamptz NOT NULL, delivered_at timestamptz NOT NULL,
        amount numeric, currency text
    ) ON COMMIT DROP
""")

_LOAD = text("""
    INSERT INTO record_lines
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(line bigint, account text, ref text,
        client_ref text, recipient_hash bytea, accepted_at timestamptz, delivered_at timestamptz,
        amount numeric, currency text)
""")

_SPAN = text("SELECT min(accepted_at) AS since, max(accepted_at) AS until FROM record_lines")

_COVERED = text("""
    CREATE TEMPORARY TABLE covered ON COMMIT DROP AS
    SELECT account,
        CASE WHEN :is_whole THEN :since ELSE greatest(:since, min(accepted_at)) END AS since,
        CASE WHEN :is_whole THEN :until ELSE least(:until, max(accepted_at)) END AS until
    FROM record_lines GROUP BY account
""")

_OUTSIDE = text("""
    WITH outside AS (
        SELECT line, accepted_at < :since - CAST(:beyond AS interval)
            OR accepted_at >= :until + CAST(:beyond AS interval) AS is_far
        FROM record_lines WHERE accepted_at < :since OR accepted_at >= :until
    ), gone AS (
        DELETE FROM record_lines r USING outside o WHERE o.line = r.line AND o.is_far
    )
    SELECT count(*) FROM outside
""")

# By the references that the record has; the recipient is part of what must agree.
_FOUND = text("""
    CREATE TEMPORARY TABLE found ON COMMIT DROP AS
    WITH theirs AS (
        SELECT account, ref, attempt_id FROM cascade.provider_refs
        WHERE created_at >= :since - CAST(:beyond AS interval)
        UNION
        SELECT account, provider_ref, attempt_id FROM cascade.receipts
        WHERE received_at >= :since - CAST(:beyond AS interval)
            AND attempt_id IS NOT NULL AND provider_ref IS NOT NULL
    ), by_ref AS (
        SELECT r.line, a.id AS attempt_id FROM record_lines r
        JOIN cascade.attempts a ON a.client_ref = r.client_ref AND a.account = r.account
        WHERE r.account = ANY(:echoing)
        UNION
        SELECT r.line, t.attempt_id FROM record_lines r
        JOIN theirs t ON t.account = r.account AND t.ref = r.ref
        WHERE r.client_ref IS NULL OR r.account <> ALL(:echoing)
    )
    SELECT f.line, f.attempt_id,
        count(*) OVER (PARTITION BY f.line) AS attempts,
        count(*) OVER (PARTITION BY f.attempt_id) AS lines
    FROM by_ref f
    JOIN record_lines r ON r.line = f.line
    JOIN cascade.attempts a ON a.id = f.attempt_id
    JOIN cascade.messages m ON m.id = a.message_id
    WHERE r.recipient_hash IS NULL OR r.recipient_hash = m.recipient_hash
""")

# Corrected attempts are few. Sums that came to nothing are nothing.
_CORRECTED = """
    corrected AS MATERIALIZED (
        SELECT k.attempt_id, count(s.amount) AS currencies,
            coalesce(json_agg(json_build_array(CAST(s.amount AS text), s.currency))
                FILTER (WHERE s.amount IS NOT NULL), '[]') AS booked,
            min(s.amount) AS amount, min(s.currency) AS currency
        FROM (SELECT DISTINCT attempt_id FROM cascade.corrections) k
        LEFT JOIN LATERAL (
            SELECT e.currency, sum(e.amount) AS amount FROM (
                SELECT amount, currency FROM cascade.charges
                WHERE attempt_id = k.attempt_id AND amount IS NOT NULL
                UNION ALL
                SELECT amount, currency FROM cascade.corrections WHERE attempt_id = k.attempt_id
            ) e GROUP BY e.currency HAVING sum(e.amount) <> 0
        ) s ON true
        GROUP BY k.attempt_id
    )
"""

_AGREED = text(f"""
    CREATE TEMPORARY TABLE agreed ON COMMIT DROP AS
    WITH {_CORRECTED}
    SELECT f.line, f.attempt_id FROM found f
    JOIN record_lines r ON r.line = f.line
    JOIN cascade.attempts a ON a.id = f.attempt_id
    JOIN cascade.charges c ON c.attempt_id = f.attempt_id
    LEFT JOIN corrected k ON k.attempt_id = f.attempt_id
    WHERE f.attempts = 1 AND f.lines = 1 AND a.state >= 'delivered'
        AND CASE WHEN k.attempt_id IS NULL THEN r.amount = c.amount AND r.currency = c.currency
            ELSE k.currencies = 1 AND r.amount = k.amount AND r.currency = k.currency END
""")  # noqa: S608  # a constant

# What the lines that are left may be about: by a reference, or by the recipient and the time.
_TOUCHED = text("""
    CREATE TEMPORARY TABLE touched ON COMMIT DROP AS
    WITH rest AS MATERIALIZED (
        SELECT r.* FROM record_lines r
        WHERE NOT EXISTS (SELECT FROM agreed g WHERE g.line = r.line)
    )
    SELECT f.attempt_id FROM found f JOIN rest ON rest.line = f.line
    UNION
    SELECT a.id FROM rest
    JOIN cascade.messages m ON m.recipient_hash = rest.recipient_hash
    JOIN cascade.attempts a ON a.message_id = m.id AND a.account = rest.account
    WHERE a.started_at BETWEEN rest.accepted_at - CAST(:near AS interval)
        AND rest.accepted_at + CAST(:near AS interval)
""")

_TEMPORARY = ("record_lines", "found", "agreed", "touched")

_POSTED = text(f"""
    WITH {_CORRECTED},
    told AS MATERIALIZED (
        SELECT attempt_id, max(status) AS status FROM cascade.receipts
        WHERE attempt_id IS NOT NULL AND status >= 'sent'
            AND received_at >= :since - CAST(:beyond AS interval)
        GROUP BY attempt_id
    ), facts AS (
        SELECT a.id, a.message_id, a.account, a.client_ref, a.delivered_at, a.due_at, a.started_at,
            a.unknown_at, coalesce(a.unknown_at, a.sent_at) AS answered_at,
            coalesce(a.started_at, a.created_at) AS called_at,
            a.state >= 'delivered' AS is_delivered,
            coalesce(told.status >= 'delivered', false) AS is_told,
            CASE WHEN told.status > a.state THEN told.status END AS unmoved_by,
            c.attempt_id IS NOT NULL AS is_charged, c.amount, c.currency,
            r.price * c.units AS expected, r.currency AS expected_currency,
            coalesce(c.amount = r.price * c.units AND c.currency = r.currency
                AND r.account = a.account AND r.channel = a.channel
                AND r.valid_from <= coalesce(a.started_at, a.created_at), false) AS is_rated_right,
            k.attempt_id IS NOT NULL AS is_corrected, k.booked,
            covered.account IS NOT NULL AS is_covered, g.attempt_id IS NOT NULL AS is_agreed,
            t.attempt_id IS NOT NULL AS is_touched, m.recipient_hash
        FROM cascade.attempts a
        JOIN cascade.messages m ON m.id = a.message_id
        LEFT JOIN told ON told.attempt_id = a.id
        LEFT JOIN cascade.charges c ON c.attempt_id = a.id
        LEFT JOIN cascade.rates r ON r.id = c.rate_id
        LEFT JOIN corrected k ON k.attempt_id = a.id
        LEFT JOIN covered ON covered.account = a.account
            AND coalesce(a.started_at, a.created_at) >= covered.since
            AND coalesce(a.started_at, a.created_at) < covered.until
        LEFT JOIN agreed g ON g.attempt_id = a.id
        LEFT JOIN touched t ON t.attempt_id = a.id
        WHERE coalesce(a.started_at, a.created_at) >= :since - CAST(:beyond AS interval)
            AND coalesce(a.started_at, a.created_at) < :until + CAST(:beyond AS interval)
    )
    SELECT * FROM facts
    WHERE is_delivered <> is_charged OR is_delivered <> is_told OR unmoved_by IS NOT NULL
        OR (is_charged AND NOT is_rated_right) OR is_touched
        OR (is_covered AND is_delivered AND NOT is_agreed)
    ORDER BY id
""")  # noqa: S608  # constants

_REFS = text("""
    SELECT attempt_id, array_agg(DISTINCT ref) AS refs FROM (
        SELECT attempt_id, ref FROM cascade.provider_refs
        WHERE attempt_id = ANY(CAST(:ids AS bigint[]))
        UNION ALL
        SELECT attempt_id, provider_ref FROM cascade.receipts
        WHERE attempt_id = ANY(CAST(:ids AS bigint[])) AND provider_ref IS NOT NULL
    ) known GROUP BY attempt_id
""")

# Those whose receipt is in the inbox, and will be applied by itself.
_HEARD_OF = text("""
    SELECT DISTINCT a.id FROM cascade.receipts r
    JOIN cascade.attempts a ON a.account = r.account AND (a.client_ref = r.client_ref OR EXISTS (
        SELECT FROM cascade.provider_refs p
        WHERE p.attempt_id = a.id AND p.account = r.account AND p.ref = r.provider_ref))
    WHERE r.due_at IS NOT NULL AND a.id = ANY(CAST(:ids AS bigint[]))
""")

_REST = text("""
    SELECT r.account, r.ref, r.client_ref, encode(r.recipient_hash, 'hex') AS recipient_hash,
        r.accepted_at, r.delivered_at, r.amount, r.currency
    FROM record_lines r
    WHERE NOT EXISTS (SELECT FROM agreed g WHERE g.line = r.line)
    ORDER BY r.line
""")

_AGREEMENTS = text("""
    SELECT count(*) FROM agreed g JOIN record_lines r ON r.line = g.line
    WHERE r.accepted_at >= :since AND r.accepted_at < :until
""")

_SET_ASIDE = text("""
    SELECT account, coalesce(provider_ref, client_ref) AS ref, received_at FROM cascade.receipts
    WHERE due_at IS NULL AND applied_at IS NULL AND status >= 'delivered'
        AND received_at >= :since AND received_at < :until
    ORDER BY id
""")

_LAST_CORRECTION = text("SELECT coalesce(max(id), 0) FROM cascade.corrections")


def compare_in_database(
    connection: Connection,
    lines: Iterable[Line],
    *,
    period: Period | None,
    is_whole: bool,
    echoing: Collection[str],
) -> Compared:
    """What of the period's attempts and of the record does not plainly agree.

    `lines` have hashed recipients. Without a `period` it is that of the record. A whole record has
    a line for every delivery of its accounts in the period; else it tells of the time from its
    first to its last line. The transaction should be a snapshot (REPEATABLE READ).
    """
    _be_patient(connection)
    count = _load(connection, lines)
    period = period or _span(connection)
    values = {
        "since": period.since,
        "until": period.until,
        "is_whole": is_whole,
        "echoing": list(echoing),
        "near": NEAR,
        "beyond": BEYOND,
    }
    connection.execute(_COVERED, values)
    outside = connection.execute(_OUTSIDE, values).scalar_one()
    for statement, table in zip((None, _FOUND, _AGREED, _TOUCHED), _TEMPORARY, strict=True):
        if statement is not None:
            connection.execute(statement, values)
        connection.execute(text(f"ANALYZE {table}"))
    return Compared(
        period=period,
        lines=count - outside,
        outside=outside,
        agreed=connection.execute(_AGREEMENTS, values).scalar_one(),
        posted=_posted(connection, values),
        unpaired=tuple(_line(row) for row in connection.execute(_REST)),
        set_aside=tuple(
            SetAside(row.account, row.ref, row.received_at)
            for row in connection.execute(_SET_ASIDE, values)
        ),
        last_correction=connection.execute(_LAST_CORRECTION).scalar_one(),
    )


def _be_patient(connection: Connection) -> None:
    # Between its statements, lines of a file are read.
    connection.execute(
        text(
            "SELECT set_config('statement_timeout', :milliseconds, true),"
            " set_config('idle_in_transaction_session_timeout', :milliseconds, true)"
        ),
        {"milliseconds": str(int(PATIENCE.total_seconds() * 1000))},
    )


def _load(connection: Connection, lines: Iterable[Line]) -> int:
    connection.execute(_TABLE)
    numbered = enumerate(lines, 1)
    count = 0
    while some := list(itertools.islice(numbered, SET)):
        connection.execute(_LOAD, {"rows": as_rows(_row(number, line) for number, line in some)})
        count += len(some)
    return count


def _row(number: int, line: Line) -> dict[str, object]:
    return {
        "line": number,
        "account": line.account,
        "ref": line.ref,
        "client_ref": line.client_ref,
        "recipient_hash": None if line.recipient is None else bytes.fromhex(line.recipient),
        "accepted_at": line.accepted_at,
        "delivered_at": line.delivered_at,
        "amount": None if line.amount is None else str(line.amount.value),
        "currency": None if line.amount is None else line.amount.currency,
    }


def _span(connection: Connection) -> Period:
    row = connection.execute(_SPAN).one()
    if row.since is None:  # a record without a line, and no period: nothing is asked for
        moment = connection.execute(text("SELECT cascade.clock()")).scalar_one()
        return Period(moment, moment)
    return Period(row.since - BEYOND, row.until + BEYOND)


def _posted(connection: Connection, values: Mapping[str, object]) -> dict[int, Facts]:
    rows = connection.execute(_POSTED, values).all()
    ids = {"ids": as_ids(row.id for row in rows)}
    refs = {row.attempt_id: tuple(row.refs) for row in connection.execute(_REFS, ids)}
    heard_of = set(connection.execute(_HEARD_OF, ids).scalars())
    found = defaultdict(tuple, refs)
    return {row.id: _facts(row, found[row.id], is_heard_of=row.id in heard_of) for row in rows}


def _facts(row: Row[Any], refs: tuple[str, ...], *, is_heard_of: bool) -> Facts:
    charged = _amount(row.amount, row.currency)
    return Facts(
        provider_refs=refs,
        recipient_hash=bytes(row.recipient_hash).hex(),
        was_called=row.started_at is not None,
        unknown_at=row.unknown_at,
        answered_at=row.answered_at,
        posted=Posted(
            attempt_id=row.id,
            message_id=row.message_id,
            account=row.account,
            client_ref=row.client_ref,
            called_at=row.called_at,
            delivered_at=row.delivered_at,
            is_live=row.due_at is not None or is_heard_of,
            is_delivered=row.is_delivered,
            is_told=row.is_told,
            unmoved_by=None if row.unmoved_by is None else AttemptState(row.unmoved_by),
            is_charged=row.is_charged,
            charged=charged,
            expected=_amount(row.expected, row.expected_currency),
            is_rated_right=row.is_rated_right,
            is_corrected=row.is_corrected,
            booked=_booked(row, charged),
            is_covered=row.is_covered,
            is_agreed=row.is_agreed,
        ),
    )


def _booked(row: Row[Any], charged: Amount | None) -> tuple[Amount, ...]:
    if row.is_corrected:
        return tuple(Amount(Decimal(amount), currency) for amount, currency in row.booked)
    return (charged,) if charged is not None and charged.value else ()


def _line(row: Row[Any]) -> Line:
    return Line(
        account=row.account,
        ref=row.ref,
        client_ref=row.client_ref,
        recipient=row.recipient_hash,
        accepted_at=row.accepted_at,
        delivered_at=row.delivered_at,
        amount=_amount(row.amount, row.currency),
    )


def _amount(value: Decimal | None, currency: str | None) -> Amount | None:
    return None if value is None or currency is None else Amount(value, currency)
