"""What a simulated campaign came to: funnel, cost, time, and the invariants."""

from __future__ import annotations

import datetime as dt
import math

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from typing_extensions import override

from cascade.domain.state import Channel, MessageState
from cascade.testing.memory.rows import AttemptRow
from cascade.testing.memory.tables import Tables


K = TypeVar("K", bound=str)
N = TypeVar("N", int, Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOutcome:
    """Attempts of one channel that were called, and what they came to."""

    called: int = 0
    delivered: int = 0
    read: int = 0
    cost: Mapping[str, Decimal]  # by currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Counts of messages; `seconds` from acceptance to the first delivery, the shortest first."""

    messages: int
    states: Mapping[MessageState, int]
    funnel: Mapping[Channel, ChannelOutcome]
    seconds: Sequence[float]
    overlaps: int  # messages that reached the person on several channels
    simulated: dt.timedelta
    faults: Mapping[str, int]  # that happened
    broken: Mapping[str, int]  # breaches by invariant
    findings: Sequence[str]

    @property
    def reached(self) -> float:
        """The share of messages that were delivered, 0 … 1."""
        return len(self.seconds) / self.messages if self.messages else 0.0

    @property
    def cost(self) -> dict[str, Decimal]:
        """In all, by currency."""
        return _added(channel.cost for channel in self.funnel.values())

    def within(self, share: float) -> float:
        """Seconds within which this share (0 … 1) of the delivered messages were delivered.

        Raises ValueError if none was.
        """
        if not self.seconds:
            raise ValueError("nothing was delivered")
        place = math.ceil(share * len(self.seconds)) - 1
        return self.seconds[min(max(place, 0), len(self.seconds) - 1)]

    def assert_sound(self) -> None:
        """Raises AssertionError that names the invariants that do not hold."""
        if self.broken:
            raise AssertionError("\n".join([str(dict(self.broken)), *self.findings]))

    @override
    def __str__(self) -> str:
        lines = [
            f"{'channel':<10}{'called':>9}{'delivered':>11}{'read':>9}  cost",
            *(_line(channel, one) for channel, one in self.funnel.items()),
            f"{self.messages} messages, {self.reached:.1%} reached"
            + (f", half within {self.within(0.5):.0f} s" if self.seconds else "")
            + f", cost {_money(self.cost)}",
        ]
        return "\n".join(lines)


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """Of several simulations as if they were one: everything is added up."""
    return Outcome(
        messages=sum(one.messages for one in outcomes),
        states=_added(one.states for one in outcomes),
        funnel=_channels_together([one.funnel for one in outcomes]),
        seconds=sorted(moment for one in outcomes for moment in one.seconds),
        overlaps=sum(one.overlaps for one in outcomes),
        simulated=sum((one.simulated for one in outcomes), dt.timedelta()),
        faults=_added(one.faults for one in outcomes),
        broken=_added(one.broken for one in outcomes),
        findings=[finding for one in outcomes for finding in one.findings],
    )


def _channels_together(
    funnels: Sequence[Mapping[Channel, ChannelOutcome]],
) -> dict[Channel, ChannelOutcome]:
    """In the order of the channels."""
    parts = {one: [funnel[one] for funnel in funnels if one in funnel] for one in Channel}
    return {
        channel: ChannelOutcome(
            called=sum(one.called for one in found),
            delivered=sum(one.delivered for one in found),
            read=sum(one.read for one in found),
            cost=_added(one.cost for one in found),
        )
        for channel, found in parts.items()
        if found
    }


def _added(counts: Iterable[Mapping[K, N]]) -> dict[K, N]:
    """Numbers of the same name together, by name."""
    total: dict[K, N] = {}
    for one in counts:
        for name, number in one.items():
            total[name] = total[name] + number if name in total else number
    return dict(sorted(total.items()))


def outcome_of(
    tables: Tables,
    *,
    simulated: dt.timedelta,
    faults: Mapping[str, int],
    broken: Mapping[str, int],
    findings: Sequence[str],
) -> Outcome:
    """Reads the tables."""
    seconds, overlaps = [], 0
    for row in tables.messages.values():
        moments = [
            moment
            for one in row.attempt_ids
            if (moment := tables.attempts[one].delivered_at) is not None
        ]
        overlaps += len(moments) > 1
        seconds += [(min(moments) - row.created_at).total_seconds()] if moments else []
    return Outcome(
        messages=len(tables.messages),
        states=Counter(row.state for row in tables.messages.values()),
        funnel=_funnel(tables),
        seconds=sorted(seconds),
        overlaps=overlaps,
        simulated=simulated,
        faults=dict(sorted(faults.items())),
        broken=dict(broken),
        findings=list(findings),
    )


def _funnel(tables: Tables) -> dict[Channel, ChannelOutcome]:
    called: dict[Channel, list[AttemptRow]] = defaultdict(list)
    for row in tables.attempts.values():
        if row.started_at is not None:
            called[row.channel].append(row)
    return {
        channel: ChannelOutcome(
            called=len(called[channel]),
            delivered=sum(row.delivered_at is not None for row in called[channel]),
            read=sum(row.read_at is not None for row in called[channel]),
            cost=_cost(tables, called[channel]),
        )
        for channel in Channel
        if called[channel]
    }


def _cost(tables: Tables, rows: Sequence[AttemptRow]) -> dict[str, Decimal]:
    total: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        charge = tables.charges.get(row.id)
        if charge is not None and charge.amount is not None:
            total[charge.amount.currency] += charge.amount.value
    return dict(total)


def _line(channel: Channel, one: ChannelOutcome) -> str:
    return f"{channel:<10}{one.called:>9}{one.delivered:>11}{one.read:>9}  {_money(one.cost)}"


def _money(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{value:.2f} {name}" for name, value in sorted(amounts.items())) or "0"
