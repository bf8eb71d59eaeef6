"""What has been counted since this process began: values that are replaced, never changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from cascade.domain.state import Channel, MessageState
from cascade.storage.metrics import BUCKETS, OUTCOMES, Deliveries, Increments


T = TypeVar("T")

# A series that begins with its first event would hide that event from `increase()`.
_ATTEMPTS = {(channel.value, outcome.value): 0 for channel in Channel for outcome in OUTCOMES}
_MESSAGES = {state.value: 0 for state in MessageState}


@dataclass(frozen=True, slots=True)
class Histogram:
    """Seconds to deliver: how many fell into each bucket (not added up), and their sum."""

    numbers: Sequence[int] = (0,) * (len(BUCKETS) + 1)
    seconds: float = 0.0

    def plus(self, more: Deliveries) -> Histogram:
        """With these deliveries besides."""
        numbers = list(self.numbers)
        numbers[more.bucket] += more.number
        return Histogram(numbers, self.seconds + more.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counts by label values; amounts are exact."""

    attempts: Mapping[tuple[str, str], int] = field(default_factory=lambda: _ATTEMPTS)
    messages: Mapping[str, int] = field(default_factory=lambda: _MESSAGES)
    times: Mapping[str, Histogram] = field(
        default_factory=lambda: {channel.value: Histogram() for channel in Channel}
    )
    charged: Mapping[tuple[str, str, str], Decimal] = field(default_factory=dict)
    unrated: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def knowing(self, rated: Iterable[tuple[str, str, str]]) -> Totals:
        """With a series of money for each (account, channel, currency) that can be charged."""
        known = list(rated)
        return replace(
            self,
            charged={one: Decimal(0) for one in known} | dict(self.charged),
            unrated={one[:2]: 0 for one in known} | dict(self.unrated),
        )

    def plus(self, more: Increments) -> Totals:
        """With these increments besides."""
        times, charged, unrated = dict(self.times), dict(self.charged), Counter(self.unrated)
        for one in more.deliveries:
            times[one.channel] = times.get(one.channel, Histogram()).plus(one)
            if one.currency is None:
                unrated[one.account, one.channel] += one.number
                continue
            label = (one.account, one.channel, one.currency)
            charged[label] = charged.get(label, Decimal(0)) + one.amount
        return Totals(
            attempts=_sum(self.attempts, more.attempts),
            messages=_sum(self.messages, more.messages),
            times=times,
            charged=charged,
            unrated=unrated,
        )


def _sum(old: Mapping[T, int], more: Mapping[T, int]) -> Mapping[T, int]:
    total = Counter(old)
    total.update(more)
    return total
