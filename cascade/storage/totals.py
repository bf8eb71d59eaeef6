"""Counts and sums over all messages: what a progress display and a report show."""

from __future__ import annotations

import datetime as dt
import uuid

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy import Connection, text

from cascade.domain.state import AttemptState, Channel, MessageState


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What may still change the books."""

    attempts: int  # live: due_at is set
    receipts: int  # in the inbox, not applied though their attempt is known, or not looked at yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Medians:
    """Median seconds to a delivery, from the message's acceptance and from the attempt's first
    call.
    """

    since_accepted: float
    since_called: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidents:
    """What went another way than straight on; attempts, except where it says messages."""

    retried: int  # called more than once
    ambiguous: int  # ever unknown
    late: int  # delivered after their step had ended
    overlapping: int  # messages that were delivered more than once
    unrated: int  # charges without an amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """Receipts that no attempt was found for: looked for again later, or no more."""

    waiting: int
    set_aside: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What a price of the message on another channel would depend on."""

    message_id: uuid.UUID
    state: MessageState
    created_at: dt.datetime
    recipient: bytes = field(repr=False)  # sealed
    content: bytes = field(repr=False)  # sealed


_MESSAGES = text("SELECT state, count(*) AS number FROM cascade.messages GROUP BY state")

_OUTCOMES = text("""
    SELECT channel, state, count(*) AS number FROM cascade.attempts GROUP BY channel, state
""")

# A receipt whose attempt is not known waits for minutes before it is set aside; it changes nothing
# unless the attempt turns up.
_WAITING = text("""
    SELECT (SELECT count(*) FROM cascade.attempts WHERE due_at IS NOT NULL) AS attempts,
        (SELECT count(*) FROM cascade.receipts r
         WHERE r.due_at IS NOT NULL AND (
            r.looks = 0
            OR EXISTS (SELECT FROM cascade.attempts a
                WHERE a.client_ref = r.client_ref AND a.account = r.account)
            OR EXISTS (SELECT FROM cascade.provider_refs p
                WHERE p.account = r.account AND p.ref = r.provider_ref)
         )) AS receipts
""")

_MEDIANS = text("""
    SELECT a.channel,
        percentile_cont(0.5) WITHIN GROUP (
            ORDER BY extract(epoch FROM a.delivered_at - m.created_at)) AS since_accepted,
        percentile_cont(0.5) WITHIN GROUP (
            ORDER BY extract(epoch FROM a.delivered_at - coalesce(a.started_at, a.created_at))
        ) AS since_called
    FROM cascade.attempts a JOIN cascade.messages m ON m.id = a.message_id
    WHERE a.delivered_at IS NOT NULL
    GROUP BY a.channel
""")

_REACHED = text("""
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM reached.after))
    FROM (
        SELECT min(a.delivered_at) - m.created_at AS after
        FROM cascade.attempts a JOIN cascade.messages m ON m.id = a.message_id
        WHERE a.delivered_at IS NOT NULL
        GROUP BY m.id
    ) reached
""")

_COSTS = text("""
    SELECT a.channel, c.currency, sum(c.amount) AS cost
    FROM cascade.charges c JOIN cascade.attempts a ON a.id = c.attempt_id
    WHERE c.amount IS NOT NULL
    GROUP BY a.channel, c.currency
""")

# Beyond its first delivery, each delivery of a message is an overlap.
_EXTRA = text("""
    SELECT currency, sum(amount) AS cost FROM (
        SELECT c.currency, c.amount, row_number() OVER (
            PARTITION BY a.message_id ORDER BY c.occurred_at, c.attempt_id) AS place
        FROM cascade.charges c JOIN cascade.attempts a ON a.id = c.attempt_id
    ) deliveries
    WHERE place > 1 AND amount IS NOT NULL
    GROUP BY currency
""")

_INCIDENTS = text("""
    SELECT count(*) FILTER (WHERE tries > 1) AS retried,
        count(*) FILTER (WHERE unknown_at IS NOT NULL) AS ambiguous,
        count(*) FILTER (WHERE delivered_at > ended_at) AS late,
        (SELECT count(*) FROM (
            SELECT FROM cascade.charges c JOIN cascade.attempts d ON d.id = c.attempt_id
            GROUP BY d.message_id HAVING count(*) > 1) twice) AS overlapping,
        (SELECT count(*) FROM cascade.charges WHERE amount IS NULL) AS unrated
    FROM cascade.attempts
""")

_ORPHANS = text("""
    SELECT count(*) FILTER (WHERE due_at IS NOT NULL) AS waiting,
        count(*) FILTER (WHERE due_at IS NULL) AS set_aside
    FROM cascade.receipts WHERE applied_at IS NULL
""")

_ACCEPTED = text("SELECT id, state, created_at, recipient, content FROM cascade.messages")


def messages(connection: Connection) -> dict[MessageState, int]:
    """How many messages are in each state; every state is named."""
    counts = {MessageState(row.state): row.number for row in connection.execute(_MESSAGES)}
    return {state: counts.get(state, 0) for state in MessageState}


def outcomes(connection: Connection) -> dict[Channel, dict[AttemptState, int]]:
    """How many attempts of each channel are in each state, without zeros."""
    counts: dict[Channel, dict[AttemptState, int]] = defaultdict(dict)
    for row in connection.execute(_OUTCOMES):
        counts[Channel(row.channel)][AttemptState(row.state)] = row.number
    return dict(counts)


def waiting(connection: Connection) -> Waiting:
    """What is not over yet."""
    row = connection.execute(_WAITING).one()
    return Waiting(attempts=row.attempts, receipts=row.receipts)


def medians(connection: Connection) -> dict[Channel, Medians]:
    """Of each channel that delivered something."""
    return {
        Channel(row.channel): Medians(
            since_accepted=float(row.since_accepted), since_called=float(row.since_called)
        )
        for row in connection.execute(_MEDIANS)
    }


def median_to_reach(connection: Connection) -> float | None:
    """Median seconds from a message's acceptance to its first delivery; None without any."""
    seconds = connection.execute(_REACHED).scalar_one()
    return None if seconds is None else float(seconds)


def costs(connection: Connection) -> dict[tuple[Channel, str], Decimal]:
    """What was charged, by channel and currency."""
    rows = connection.execute(_COSTS)
    return {(Channel(row.channel), row.currency): row.cost for row in rows}


def overlap_costs(connection: Connection) -> dict[str, Decimal]:
    """What was charged beyond each message's first delivery, by currency."""
    return {row.currency: row.cost for row in connection.execute(_EXTRA)}


def incidents(connection: Connection) -> Incidents:
    """What went another way than straight on."""
    return Incidents(**connection.execute(_INCIDENTS).one()._asdict())


def orphans(connection: Connection) -> Orphans:
    """Receipts that are not applied."""
    return Orphans(**connection.execute(_ORPHANS).one()._asdict())


def accepted(connection: Connection) -> list[Accepted]:
    """Every message, sealed as it is."""
    return [
        Accepted(
            message_id=row.id,
            state=MessageState(row.state),
            created_at=row.created_at,
            recipient=bytes(row.recipient),
            content=bytes(row.content),
        )
        for row in connection.execute(_ACCEPTED)
    ]
