"""A report as CSV: a row for each group, which is never the sum of other rows."""

from __future__ import annotations

import csv
import dataclasses

from collections.abc import Iterator, Mapping
from typing import IO

from cascade.domain.report import (
    ChannelFigures,
    Costs,
    Delay,
    Dimension,
    Group,
    Key,
    Money,
    Report,
    Share,
)


Row = Mapping[str, object]


def write(report: Report, file: IO[str]) -> None:
    """A row for each group of `--by`; without groups one row, of the total.

    Each currency has its own columns, with its name behind theirs: `cost_RUB`. A ratio and a delay
    are empty of nothing. Counts and money may be summed over rows, ratios and seconds may not.
    """
    rows = list(_rows(report))
    names = list(rows[0]) if rows else []
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _rows(report: Report) -> Iterator[Row]:
    by = report.question.by
    currencies = [one.currency for one in report.total.costs.money]
    for group in report.groups if by - {Dimension.CHANNEL} else (report.total,):
        key = _key(group.key, by)
        if Dimension.CHANNEL not in by:
            yield {**key, **_messages(group), **_costs(group.costs, currencies)}
            continue
        for one in group.channels:
            yield {**key, **_channel(one), **_costs(one.costs, currencies)}


def _key(key: Key, by: frozenset[Dimension]) -> Row:
    return {one.value: getattr(key, one) for one in Dimension if one in by - {Dimension.CHANNEL}}


def _messages(group: Group) -> Row:
    messages = group.messages
    return {
        "accepted": messages.accepted,
        "in_progress": messages.in_progress,
        "delivered": messages.delivered,
        "undelivered": messages.undelivered,
        "cancelled": messages.cancelled,
        "success_met": messages.success_met,
        "reached": messages.reached,
        "reach": _ratio(messages.reach),
        **_delay(messages.delay),
        "overlaps": messages.overlaps,
        "late": group.late,
    }


def _channel(one: ChannelFigures) -> Row:
    fields = (field.name for field in dataclasses.fields(one.attempts))
    return {
        "channel": one.channel,
        **{name: getattr(one.attempts, name) for name in fields if name not in {"first", "delay"}},
        "delivered_of_called": _ratio(one.attempts.rate),
        "reached_first": one.share.part,
        "reached": one.share.whole,
        "share": _ratio(one.share),
        **_delay(one.attempts.delay),
    }


def _ratio(share: Share) -> str:
    return "" if share.ratio is None else str(share.ratio)


def _delay(delay: Delay) -> Row:
    return {
        f"seconds_{name}": "" if value is None else f"{value:.3f}"
        for name, value in (("p50", delay.p50), ("p95", delay.p95))
    }


def _costs(costs: Costs, currencies: list[str]) -> Row:
    by_currency = {one.currency: one for one in costs.money}
    columns: dict[str, object] = {"unrated": costs.unrated}
    for currency in currencies:
        one = by_currency.get(currency, Money(currency=currency))
        columns |= {f"{name}_{currency}": value for name, value in _money(one).items()}
    return columns


def _money(one: Money) -> Row:
    return {
        "charges": one.charges,
        "cost": f"{one.cost:f}",
        "compared": one.compared,
        "compared_cost": f"{one.compared_cost:f}",
        "sms_cost": f"{one.sms_cost:f}",
        "saved": f"{one.saved:f}",
        "saved_share": _ratio(one.saved_share),
        "corrections": f"{one.corrections:f}",
    }
