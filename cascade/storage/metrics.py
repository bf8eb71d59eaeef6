"""What metrics are made of: increments since a position, and how things stand now.

Nothing here reads a whole table. Increments are found by the order in which rows come to their
index (when a message was accepted, an attempt ended, a charge was booked) and events by the order
of their transactions, so the cost depends on what has happened since, not on what is stored.
"""

from __future__ import annotations

import datetime as dt

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import Connection, text

from cascade.domain.state import AttemptState, MessageState
from cascade.storage.database import CLOCK
from cascade.storage.endpoints import EndpointState, endpoint_states
from cascade.storage.events import CallbacksState, callbacks_state


# Upper ends of the buckets of the time to deliver, in seconds: steps take from 15 s to a day.
BUCKETS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 900, 3600, 21600, 86400)

# The outcomes that an ended attempt is counted under; `read` counts as delivered.
OUTCOMES = (
    AttemptState.DELIVERED,
    AttemptState.UNDELIVERABLE,
    AttemptState.EXPIRED,
    AttemptState.REJECTED,
    AttemptState.UNSUPPORTED,
    AttemptState.SKIPPED,
    AttemptState.CANCELLED,
)

STATEMENT_SECONDS = 2
WINDOW = dt.timedelta(seconds=20)  # read at once at most: after a pause the rest follows
EVENTS = 100_000  # read at once at most
HOLD_LEAST = dt.timedelta(seconds=1)
HOLD_MOST = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Up to where everything has been counted."""

    at: dt.datetime
    transaction: int  # of the events
    event_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """Charged attempts of one kind; `bucket` is a place in BUCKETS, or its length beyond them."""

    channel: str
    account: str
    currency: str | None  # None: booked without a rate
    bucket: int
    number: int
    seconds: float  # from acceptance (or `send_at`) to delivery, added up
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Increments:
    """What happened between two positions."""

    position: Position  # the later one
    is_behind: bool  # there is more to be read
    attempts: Mapping[tuple[str, str], int]  # by channel and outcome
    messages: Mapping[str, int]  # by the state they came into
    deliveries: Sequence[Deliveries]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand now; ages in seconds, 0 where nothing waits."""

    due_lag: Mapping[str, float]  # by lane: the oldest attempt that is due
    receipts_lag: float  # the oldest receipt that nobody has looked at
    set_aside: int  # receipts that nobody will look at again
    tick_age: float
    oldest_transaction: float  # that is open in this database
    callbacks: CallbacksState
    endpoints: Sequence[EndpointState]
    reconciled_age: float  # since the newest nightly look at the books
    discrepancies: int  # that it found


# Everything that was stamped before the oldest writing transaction began is committed by now. A
# transaction that stays open holds the counters up, but not for ever.
_BOUNDS = text(f"""
    SELECT {CLOCK} AS now, CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)
            AS transaction,
        {CLOCK} - least(:most, greatest(:least, max(clock_timestamp() - xact_start))) AS settled
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
""")  # noqa: S608  # a constant

_ATTEMPTS = text("""
    SELECT channel, CASE WHEN state = 'read' THEN 'delivered' ELSE CAST(state AS text) END AS outcome,
        count(*) AS number
    FROM cascade.attempts WHERE ended_at > :since AND ended_at <= :until
    GROUP BY 1, 2
""")

_ACCEPTED = text("""
    SELECT count(*) FROM cascade.messages WHERE created_at > :since AND created_at <= :until
""")

_EVENTS = text("""
    WITH fresh AS MATERIALIZED (
        SELECT transaction, id, state FROM cascade.events
        WHERE (transaction, id) > (:transaction, :event_id) AND transaction < :settled
        ORDER BY transaction, id LIMIT :quota
    ),
    newest AS (SELECT transaction, id FROM fresh ORDER BY transaction DESC, id DESC LIMIT 1)
    SELECT CAST(fresh.state AS text) AS state, count(*) AS number, newest.transaction, newest.id
    FROM fresh CROSS JOIN newest GROUP BY 1, 3, 4
""")

_DELIVERIES = text("""
    WITH booked AS MATERIALIZED (
        SELECT a.channel, a.account, c.currency, c.amount, greatest(0, extract(epoch FROM
            a.delivered_at - greatest(m.created_at, m.send_at))) AS seconds
        FROM cascade.charges c
        JOIN cascade.attempts a ON a.id = c.attempt_id
        JOIN cascade.messages m ON m.id = a.message_id
        WHERE c.booked_at > :since AND c.booked_at <= :until
    )
    SELECT channel, account, currency,
        width_bucket(seconds, CAST(:buckets AS numeric[])) AS bucket, count(*) AS number,
        sum(seconds) AS seconds, coalesce(sum(amount), 0) AS amount
    FROM booked GROUP BY 1, 2, 3, 4
""")

_RATED = text("SELECT DISTINCT account, channel, currency FROM cascade.rates")

_DUE_LAG = text(f"""
    SELECT CAST(lane AS text) AS lane, extract(epoch FROM {CLOCK} - (
        SELECT a.due_at FROM cascade.attempts a
        WHERE a.lane = l.lane AND a.due_at IS NOT NULL ORDER BY a.due_at LIMIT 1)) AS seconds
    FROM unnest(enum_range(CAST(NULL AS cascade.lane))) AS l(lane)
""")  # noqa: S608  # a constant

# A receipt that was looked at and found no attempt waits for its own reasons.
_STANDING = text(f"""
    SELECT extract(epoch FROM {CLOCK} - (SELECT ticked_at FROM cascade.ticks
            WHERE name = 'tick')) AS tick_age,
        extract(epoch FROM {CLOCK} - (SELECT received_at FROM cascade.receipts
            WHERE due_at IS NOT NULL AND looks = 0 ORDER BY due_at LIMIT 1)) AS receipts_lag,
        (SELECT count(*) FROM cascade.receipts
            WHERE due_at IS NULL AND applied_at IS NULL) AS set_aside,
        (SELECT extract(epoch FROM max(clock_timestamp() - xact_start)) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend'
                AND pid <> pg_backend_pid()) AS oldest_transaction,
        extract(epoch FROM {CLOCK} - newest.run_at) AS reconciled_age, newest.discrepancies
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT r.run_at, (SELECT sum(CAST(count.value AS integer)) FROM jsonb_each_text(r.found) count)
            AS discrepancies
        FROM cascade.reconciliations r WHERE r.is_nightly ORDER BY r.id DESC LIMIT 1
    ) newest ON true
""")  # noqa: S608  # a constant


def be_brief(connection: Connection) -> None:
    """Bounds each further statement of this transaction: metrics must not weigh on the service."""
    connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))


def here(connection: Connection) -> Position:
    """The position from which everything is still to be counted."""
    bounds = connection.execute(_BOUNDS, {"least": HOLD_LEAST, "most": HOLD_MOST}).one()
    return Position(at=bounds.settled, transaction=bounds.transaction)


def rated(connection: Connection) -> list[tuple[str, str, str]]:
    """The (account, channel, currency) that charges may come in."""
    return [(row.account, row.channel, row.currency) for row in connection.execute(_RATED)]


def increments(connection: Connection, since: Position) -> Increments:
    """What happened after `since`, as far as it is settled and one reading may take it."""
    bounds = connection.execute(_BOUNDS, {"least": HOLD_LEAST, "most": HOLD_MOST}).one()
    until = max(since.at, min(bounds.settled, since.at + WINDOW))
    window = {"since": since.at, "until": until}
    attempts = connection.execute(_ATTEMPTS, window).all()
    accepted = connection.execute(_ACCEPTED, window).scalar_one()
    booked = connection.execute(_DELIVERIES, {**window, "buckets": list(BUCKETS)}).all()
    events, position = _events(connection, since, bounds.transaction)
    return Increments(
        position=replace(position, at=until),
        is_behind=until < bounds.settled or sum(events.values()) >= EVENTS,
        attempts={(row.channel, row.outcome): row.number for row in attempts},
        messages={MessageState.IN_PROGRESS: accepted, **events},
        deliveries=[
            Deliveries(
                channel=row.channel,
                account=row.account,
                currency=row.currency,
                bucket=row.bucket,
                number=row.number,
                seconds=float(row.seconds),
                amount=row.amount,
            )
            for row in booked
        ],
    )


def _events(
    connection: Connection, since: Position, settled: int
) -> tuple[dict[str, int], Position]:
    values = {
        "transaction": since.transaction,
        "event_id": since.event_id,
        "settled": settled,
        "quota": EVENTS,
    }
    rows = connection.execute(_EVENTS, values).all()
    if not rows:
        return {}, since
    newest = rows[0]
    position = replace(since, transaction=newest.transaction, event_id=newest.id)
    return {row.state: row.number for row in rows}, position


def standing(connection: Connection) -> Standing:
    """How things stand now."""
    row = connection.execute(_STANDING).one()
    return Standing(
        due_lag={one.lane: _age(one.seconds) for one in connection.execute(_DUE_LAG)},
        receipts_lag=_age(row.receipts_lag),
        set_aside=row.set_aside,
        tick_age=_age(row.tick_age),
        oldest_transaction=_age(row.oldest_transaction),
        callbacks=callbacks_state(connection),
        endpoints=endpoint_states(connection),
        reconciled_age=_age(row.reconciled_age),
        discrepancies=row.discrepancies or 0,
    )


def _age(seconds: Decimal | None) -> float:
    return max(0.0, float(seconds or 0))
