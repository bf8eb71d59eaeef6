"""The figures of a report, counted and summed by the database in one snapshot."""

from __future__ import annotations

import datetime as dt

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.domain.report import (
    AttemptFigures,
    Costs,
    Delay,
    Dimension,
    Figures,
    Key,
    MessageFigures,
    Money,
    MoneyBy,
    Question,
)


PATIENCE = dt.timedelta(minutes=5)  # for one statement: years of messages are a lot to read

# Grouped by what is asked for only: the other columns are null in every row.
_KEY = """
    CASE WHEN :by_day THEN CAST({time} AT TIME ZONE CAST(:timezone AS text) AS date) END AS day,
    CASE WHEN :by_sender THEN m.sender END AS sender,
    CASE WHEN :by_policy THEN p.name END AS policy
"""

_FILTER = """
    (CAST(:sender AS text) IS NULL OR m.sender = :sender)
    AND (CAST(:policy AS text) IS NULL OR p.name = :policy)
"""

# A message that waited for its `send_at` was not slow.
_CHOSEN = f"""
    WITH chosen AS MATERIALIZED (
        SELECT m.id, m.state, m.success_met, greatest(m.created_at, m.send_at) AS begun_at,
            {_KEY.format(time="m.created_at")}
        FROM cascade.messages m JOIN cascade.policies p ON p.id = m.policy_id
        WHERE m.created_at >= :since AND m.created_at < :until AND {_FILTER}
    )
"""  # noqa: S608  # constants

_MESSAGES = text(f"""
    {_CHOSEN}
    SELECT day, sender, policy, GROUPING(day) = 1 AS is_total,
        count(*) AS accepted,
        count(*) FILTER (WHERE state = 'in_progress') AS in_progress,
        count(*) FILTER (WHERE state = 'delivered') AS delivered,
        count(*) FILTER (WHERE state = 'undelivered') AS undelivered,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE success_met) AS success_met,
        count(first_at) AS reached,
        count(*) FILTER (WHERE deliveries > 1) AS overlaps,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY extract(epoch FROM first_at - begun_at)) AS delays
    FROM chosen LEFT JOIN (
        SELECT a.message_id, min(a.delivered_at) AS first_at, count(*) AS deliveries
        FROM chosen JOIN cascade.attempts a ON a.message_id = chosen.id
        WHERE a.delivered_at IS NOT NULL
        GROUP BY a.message_id
    ) reached ON reached.message_id = chosen.id
    GROUP BY GROUPING SETS ((day, sender, policy), ())
""")  # noqa: S608  # constants

_ATTEMPTS = text(f"""
    {_CHOSEN}, tried AS (
        SELECT chosen.day, chosen.sender, chosen.policy, a.channel, a.state, a.started_at,
            a.sent_at, a.delivered_at, a.read_at, a.ended_at, a.created_at,
            row_number() OVER (PARTITION BY a.message_id ORDER BY a.delivered_at, a.id) AS place
        FROM chosen JOIN cascade.attempts a ON a.message_id = chosen.id
    )
    SELECT day, sender, policy, channel, GROUPING(day) = 1 AS is_total,
        count(*) AS attempts,
        count(started_at) AS called,
        count(sent_at) AS sent,
        count(delivered_at) AS delivered,
        count(read_at) AS read,
        count(*) FILTER (WHERE state = 'unsupported') AS unsupported,
        count(*) FILTER (WHERE state = 'rejected') AS rejected,
        count(*) FILTER (WHERE state = 'expired') AS expired,
        count(*) FILTER (WHERE state = 'expired' AND started_at IS NULL) AS in_queue,
        count(*) FILTER (WHERE state = 'undeliverable') AS undeliverable,
        count(*) FILTER (WHERE state = 'skipped') AS skipped,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE state IN
            ('scheduled', 'queued', 'retry', 'sending', 'unknown', 'sent')) AS waiting,
        count(*) FILTER (WHERE delivered_at > ended_at) AS late,
        count(*) FILTER (WHERE place = 1 AND delivered_at IS NOT NULL) AS first,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY extract(epoch FROM delivered_at - coalesce(started_at, created_at))
        ) AS delays
    FROM tried
    GROUP BY GROUPING SETS ((day, sender, policy, channel), (channel))
""")  # noqa: S608  # constants

_TOUCHED = f"""
    WITH chosen AS MATERIALIZED (
        SELECT DISTINCT a.message_id AS id
        FROM cascade.charges c JOIN cascade.attempts a ON a.id = c.attempt_id
        JOIN cascade.messages m ON m.id = a.message_id
        JOIN cascade.policies p ON p.id = m.policy_id
        WHERE c.booked_at >= :since AND c.booked_at < :until AND {_FILTER}
    )
"""  # noqa: S608  # constants

# A message's first delivery says what an SMS would have cost; those after it only cost.
_MONEY = """
    {chosen}, charged AS (
        SELECT {key}, a.channel, c.booked_at, c.amount, c.currency, c.sms_amount,
            row_number() OVER first = 1 AS is_first,
            c.amount IS NOT NULL AND c.currency = first_value(c.currency) OVER first
                AND c.currency = first_value(c.sms_currency) OVER first AS is_compared
        FROM chosen JOIN cascade.attempts a ON a.message_id = chosen.id
        JOIN cascade.charges c ON c.attempt_id = a.id
        JOIN cascade.messages m ON m.id = a.message_id
        JOIN cascade.policies p ON p.id = m.policy_id
        WINDOW first AS (PARTITION BY a.message_id ORDER BY c.occurred_at, c.attempt_id)
    )
    SELECT day, sender, policy, channel, currency,
        count(*) AS charges,
        coalesce(sum(amount), 0) AS cost,
        count(*) FILTER (WHERE is_compared) AS compared,
        coalesce(sum(amount) FILTER (WHERE is_compared), 0) AS compared_cost,
        coalesce(sum(sms_amount) FILTER (WHERE is_compared AND is_first), 0) AS sms_cost
    FROM charged WHERE {period}
    GROUP BY day, sender, policy, channel, currency
"""

_CORRECTIONS = """
    SELECT {key}, a.channel, k.currency, sum(k.amount) AS corrections
    FROM cascade.corrections k JOIN cascade.attempts a ON a.id = k.attempt_id
    JOIN cascade.messages m ON m.id = a.message_id
    JOIN cascade.policies p ON p.id = m.policy_id
    WHERE {time} >= :since AND {time} < :until AND {filter}
    GROUP BY day, sender, policy, a.channel, k.currency
"""

_CORRECTIONS_OF = {
    by: text(_CORRECTIONS.format(key=_KEY.format(time=time), time=time, filter=_FILTER))
    for by, time in ((MoneyBy.ACCEPTED, "m.created_at"), (MoneyBy.BOOKED, "k.booked_at"))
}

_MONEY_OF = {
    MoneyBy.ACCEPTED: text(
        _MONEY.format(chosen=_CHOSEN, key=_KEY.format(time="m.created_at"), period="true")
    ),
    MoneyBy.BOOKED: text(
        _MONEY.format(
            chosen=_TOUCHED,
            key=_KEY.format(time="c.booked_at"),
            period="booked_at >= :since AND booked_at < :until",
        )
    ),
}


def figures(connection: Connection, question: Question) -> Figures:
    """What `question` asks for; the transaction should be a snapshot (REPEATABLE READ)."""
    connection.execute(
        text("SELECT set_config('statement_timeout', :milliseconds, true)"),
        {"milliseconds": str(int(PATIENCE.total_seconds() * 1000))},
    )
    values = _values(question)
    messages = connection.execute(_MESSAGES, values).all()
    attempts = connection.execute(_ATTEMPTS, values).all()
    [total] = [_messages(row) for row in messages if row.is_total]
    return Figures(
        messages={_key(row): _messages(row) for row in messages if not row.is_total},
        attempts={
            (_key(row), row.channel): _attempts(row) for row in attempts if not row.is_total
        },
        costs=_costs(connection, question, values),
        total_messages=total,
        total_attempts={row.channel: _attempts(row) for row in attempts if row.is_total},
    )


def _values(question: Question) -> dict[str, object]:
    return {
        "since": question.since,
        "until": question.until,
        "timezone": question.timezone.key,
        "sender": question.sender,
        "policy": question.policy,
        "by_day": Dimension.DAY in question.by,
        "by_sender": Dimension.SENDER in question.by,
        "by_policy": Dimension.POLICY in question.by,
    }


def _key(row: Row[Any]) -> Key:
    return Key(day=row.day, sender=row.sender, policy=row.policy)


def _messages(row: Row[Any]) -> MessageFigures:
    return MessageFigures(
        in_progress=row.in_progress,
        delivered=row.delivered,
        undelivered=row.undelivered,
        cancelled=row.cancelled,
        accepted=row.accepted,
        success_met=row.success_met,
        reached=row.reached,
        overlaps=row.overlaps,
        delay=_delay(row.reached, row.delays),
    )


def _attempts(row: Row[Any]) -> AttemptFigures:
    return AttemptFigures(
        attempts=row.attempts,
        called=row.called,
        sent=row.sent,
        delivered=row.delivered,
        read=row.read,
        unsupported=row.unsupported,
        rejected=row.rejected,
        expired=row.expired,
        in_queue=row.in_queue,
        undeliverable=row.undeliverable,
        skipped=row.skipped,
        cancelled=row.cancelled,
        waiting=row.waiting,
        late=row.late,
        first=row.first,
        delay=_delay(row.delivered, row.delays),
    )


def _delay(of: int, percentiles: list[float] | None) -> Delay:
    p50, p95 = percentiles or (None, None)
    return Delay(of=of, p50=p50, p95=p95)


def _costs(
    connection: Connection, question: Question, values: dict[str, object]
) -> dict[tuple[Key, str], Costs]:
    costs: dict[tuple[Key, str], Costs] = defaultdict(Costs)
    for row in connection.execute(_MONEY_OF[question.money_by], values):
        costs[_key(row), row.channel] += _costs_of(row)
    for row in connection.execute(_CORRECTIONS_OF[question.money_by], values):
        corrected = Money(currency=row.currency, corrections=row.corrections)
        costs[_key(row), row.channel] += Costs(money=(corrected,))
    return dict(costs)


def _costs_of(row: Row[Any]) -> Costs:
    if row.currency is None:
        return Costs(unrated=row.charges)
    money = Money(
        currency=row.currency,
        charges=row.charges,
        cost=row.cost,
        compared=row.compared,
        compared_cost=row.compared_cost,
        sms_cost=row.sms_cost,
    )
    return Costs(money=(money,))
