"""The figures of a report: what came of the messages of a period, and what they cost.

A rate is never kept without its base: `Share` holds both counts, `Delay` says of how many.
"""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from cascade.domain.state import Channel


ZERO = Decimal(0)

_PLACES = Decimal("0.0001")


class Dimension(StrEnum):
    """What figures can be grouped by."""

    DAY = "day"
    SENDER = "sender"
    POLICY = "policy"
    CHANNEL = "channel"


class MoneyBy(StrEnum):
    """Whose money: of the messages that were accepted in the period, or booked in it."""

    ACCEPTED = "accepted"
    BOOKED = "booked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: messages accepted from `since` up to, but not at, `until` (both aware)."""

    since: dt.datetime
    until: dt.datetime
    timezone: ZoneInfo  # days are cut in it
    by: frozenset[Dimension] = frozenset()
    sender: str | None = None
    policy: str | None = None
    money_by: MoneyBy = MoneyBy.ACCEPTED

    def days(self) -> Iterator[dt.date]:
        """Every day that the period touches."""
        day = self.since.astimezone(self.timezone).date()
        while dt.datetime.combine(day, dt.time(), self.timezone) < self.until:
            yield day
            day += dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a group has in common; None where it is not grouped by that."""

    day: dt.date | None = None
    sender: str | None = None
    policy: str | None = None


TOTAL = Key()


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, with both at hand."""

    part: Decimal | int
    whole: Decimal | int

    @property
    def ratio(self) -> Decimal | None:
        """To four places; None of nothing."""
        return (Decimal(self.part) / self.whole).quantize(_PLACES) if self.whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Seconds to a delivery: of half and of 95 % of so many; None if there was none."""

    of: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFigures:
    """Messages; the first four are their states and add up to `accepted`."""

    in_progress: int = 0
    delivered: int = 0
    undelivered: int = 0
    cancelled: int = 0
    accepted: int = 0
    success_met: int = 0  # delivered or read, as the step asked
    reached: int = 0  # with a delivery on any channel, whatever the message's state
    overlaps: int = 0  # delivered more than once
    delay: Delay = Delay()  # from the acceptance, or `send_at`, to the first delivery

    @property
    def reach(self) -> Share:
        """Messages that reached their recipient, of those accepted."""
        return Share(self.reached, self.accepted)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFigures:
    """Attempts on one channel. The funnel is called, sent, delivered, read; `delivered` and the
    outcomes up to `waiting` add up to `attempts`.
    """

    attempts: int = 0
    called: int = 0  # the provider was called
    sent: int = 0  # and took it
    delivered: int = 0  # read ones too
    read: int = 0
    unsupported: int = 0
    rejected: int = 0
    expired: int = 0
    in_queue: int = 0  # of the expired: before the provider was called
    undeliverable: int = 0
    skipped: int = 0
    cancelled: int = 0
    waiting: int = 0  # no outcome yet
    late: int = 0  # delivered after their step had ended
    first: int = 0  # messages whose first delivery it was
    delay: Delay = Delay()  # from the first call to the delivery

    @property
    def rate(self) -> Share:
        """Delivered attempts, of those that the provider was called for."""
        return Share(self.delivered, self.called)


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Charges in one currency, and what reconciling has corrected beside them.

    A charge is compared with an SMS if the message's first delivery knows what an SMS would have
    cost, in the currency of both charges. So an overlap diminishes what the message saved.
    """

    currency: str
    charges: int = 0
    cost: Decimal = ZERO
    compared: int = 0  # charges
    compared_cost: Decimal = ZERO
    sms_cost: Decimal = ZERO  # had each compared message gone by SMS alone
    corrections: Decimal = ZERO  # may be below zero

    @property
    def total(self) -> Decimal:
        """What the providers bill, as far as it is reconciled."""
        return self.cost + self.corrections

    @property
    def saved(self) -> Decimal:
        """What SMS alone would have cost more; below zero if it would have been cheaper."""
        return self.sms_cost - self.compared_cost

    @property
    def saved_share(self) -> Share:
        """What was saved, of what SMS alone would have cost."""
        return Share(self.saved, self.sms_cost)

    def __add__(self, other: Money) -> Money:
        """Both together; they must have the same currency."""
        assert self.currency == other.currency, "currencies do not mix"  # noqa: S101  # a bug of ours
        return Money(
            currency=self.currency,
            charges=self.charges + other.charges,
            cost=self.cost + other.cost,
            compared=self.compared + other.compared,
            compared_cost=self.compared_cost + other.compared_cost,
            sms_cost=self.sms_cost + other.sms_cost,
            corrections=self.corrections + other.corrections,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Charges, each currency for itself; `unrated` ones have no amount."""

    money: tuple[Money, ...] = ()
    unrated: int = 0

    def __add__(self, other: Costs) -> Costs:
        sums: dict[str, Money] = {}
        for one in (*self.money, *other.money):
            sums[one.currency] = sums[one.currency] + one if one.currency in sums else one
        return Costs(
            money=tuple(sums[currency] for currency in sorted(sums)),
            unrated=self.unrated + other.unrated,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFigures:
    """One channel of a group; `reached` are the messages that any channel reached first."""

    channel: str
    attempts: AttemptFigures
    costs: Costs
    reached: int

    @property
    def share(self) -> Share:
        """Messages that this channel reached first, of all that were reached."""
        return Share(self.attempts.first, self.reached)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The figures of the messages that have `key` in common, the channels in cascade order."""

    key: Key
    messages: MessageFigures
    costs: Costs
    channels: tuple[ChannelFigures, ...]

    @property
    def late(self) -> int:
        """Attempts that were delivered after their step had ended."""
        return sum(one.attempts.late for one in self.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the database counts and sums; those of `TOTAL` are counted for themselves."""

    messages: Mapping[Key, MessageFigures] = field(default_factory=dict)
    attempts: Mapping[tuple[Key, str], AttemptFigures] = field(default_factory=dict)
    costs: Mapping[tuple[Key, str], Costs] = field(default_factory=dict)  # not of TOTAL
    total_messages: MessageFigures = MessageFigures()
    total_attempts: Mapping[str, AttemptFigures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The answer: all together, and a group for each key if it is asked for by more than channel."""

    question: Question
    total: Group
    groups: tuple[Group, ...]


def report(question: Question, figures: Figures) -> Report:
    """The report from the figures; a report by day alone names the days without messages too."""
    keyed = question.by - {Dimension.CHANNEL}
    keys = _keys(figures) if keyed else set()
    if keyed == {Dimension.DAY}:
        keys |= {Key(day=day) for day in question.days()}
    return Report(
        question=question,
        total=_total(figures),
        groups=tuple(_group(key, figures) for key in sorted(keys, key=_order)),
    )


def _keys(figures: Figures) -> set[Key]:
    """Money that was booked for messages of an earlier period makes a group of its own."""
    return {*figures.messages, *(key for key, _ in figures.costs)}


def _order(key: Key) -> tuple[dt.date, str, str]:
    return key.day or dt.date.min, key.sender or "", key.policy or ""


def _total(figures: Figures) -> Group:
    costs: dict[str, Costs] = {}
    for (_, channel), one in figures.costs.items():
        costs[channel] = costs.get(channel, Costs()) + one
    return _of(TOTAL, figures.total_messages, figures.total_attempts, costs)


def _group(key: Key, figures: Figures) -> Group:
    return _of(
        key,
        figures.messages.get(key, MessageFigures()),
        {channel: one for (of, channel), one in figures.attempts.items() if of == key},
        {channel: one for (of, channel), one in figures.costs.items() if of == key},
    )


def _of(
    key: Key,
    messages: MessageFigures,
    attempts: Mapping[str, AttemptFigures],
    costs: Mapping[str, Costs],
) -> Group:
    channels = tuple(
        ChannelFigures(
            channel=channel,
            attempts=attempts.get(channel, AttemptFigures()),
            costs=costs.get(channel, Costs()),
            reached=messages.reached,
        )
        for channel in _in_cascade_order({*attempts, *costs})
    )
    total = sum((one.costs for one in channels), start=Costs())
    return Group(key=key, messages=messages, costs=total, channels=channels)


def _in_cascade_order(channels: Iterable[str]) -> list[str]:
    """The known ones as they stand in `Channel`, others behind them."""
    places = {channel.value: place for place, channel in enumerate(Channel)}
    return sorted(channels, key=lambda channel: (places.get(channel, len(places)), channel))
