"""A report as one JSON document."""

from __future__ import annotations

import dataclasses
import datetime as dt

from collections.abc import Mapping

from cascade.domain.report import (
    ChannelFigures,
    Costs,
    Delay,
    Dimension,
    Group,
    Key,
    Money,
    Question,
    Report,
    Share,
)


Document = Mapping[str, object]


def document(report: Report) -> Document:
    """All of it: money and ratios as decimals, delays in seconds; a ratio stands with its part and
    its whole, and is null of nothing.
    """
    return {
        **_question(report.question),
        "total": _group(report.total),
        "groups": [{**_key(one.key), **_group(one)} for one in report.groups],
    }


def _question(question: Question) -> Document:
    return {
        "since": question.since,
        "until": question.until,
        "timezone": question.timezone.key,
        "by": [one for one in Dimension if one in question.by],
        "sender": question.sender,
        "policy": question.policy,
        "money_by": question.money_by,
    }


def _key(key: Key) -> Document:
    values = {field.name: getattr(key, field.name) for field in dataclasses.fields(key)}
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, dt.date) else value


def _group(group: Group) -> Document:
    messages = group.messages
    return {
        "accepted": messages.accepted,
        "in_progress": messages.in_progress,
        "delivered": messages.delivered,
        "undelivered": messages.undelivered,
        "cancelled": messages.cancelled,
        "success_met": messages.success_met,
        "reach": _share(messages.reach),
        "seconds_to_deliver": _delay(messages.delay),
        "overlaps": messages.overlaps,
        "late": group.late,
        **_costs(group.costs),
        "channels": [_channel(one) for one in group.channels],
    }


def _channel(one: ChannelFigures) -> Document:
    fields = (field.name for field in dataclasses.fields(one.attempts))
    return {
        "channel": one.channel,
        **{name: getattr(one.attempts, name) for name in fields if name not in {"first", "delay"}},
        "delivered_of_called": _share(one.attempts.rate),
        "share": _share(one.share),
        "seconds_to_deliver": _delay(one.attempts.delay),
        **_costs(one.costs),
    }


def _share(share: Share) -> Document:
    return {"part": share.part, "whole": share.whole, "ratio": share.ratio}


def _delay(delay: Delay) -> Document:
    return {"of": delay.of, "p50": _seconds(delay.p50), "p95": _seconds(delay.p95)}


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _costs(costs: Costs) -> Document:
    return {"unrated": costs.unrated, "money": {one.currency: _money(one) for one in costs.money}}


def _money(one: Money) -> Document:
    return {
        "charges": one.charges,
        "cost": one.cost,
        "compared": one.compared,
        "compared_cost": one.compared_cost,
        "sms_cost": one.sms_cost,
        "saved": _share(one.saved_share),
        "corrections": one.corrections,
    }
