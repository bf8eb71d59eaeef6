"""Rates and exact amounts: what a delivered attempt costs.

Money is decimal, to six places, as the books hold it (numeric(14,6)). Rates are append-only: a new
price is a new row with a later `valid_from`.
"""

from __future__ import annotations

import csv
import datetime as dt
import re

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import TypeVar

from cascade.domain.errors import ConfigurationError
from cascade.domain.state import Channel


COLUMNS = ("account", "channel", "prefix", "unit", "price", "currency", "valid_from")

_QUANTUM = Decimal("0.000001")
_ACCOUNT = re.compile(r"\S+")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
_PRICE = re.compile(r"[0-9]{1,8}(\.[0-9]{1,6})?")  # numeric(14,6)
_CURRENCY = re.compile(r"[A-Z]{3}")
_valid_from = attrgetter("valid_from")

E = TypeVar("E", bound=StrEnum)


class PriceUnit(StrEnum):
    """What a provider counts when it bills."""

    MESSAGE = "message"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one unit costs through `account`, to numbers that begin with `prefix` (E.164), from
    `valid_from` (aware) on. By a unit that this code does not know, nothing can be priced.
    """

    account: str
    channel: Channel
    prefix: str
    unit: PriceUnit | None
    price: Decimal
    currency: str  # ISO 4217
    valid_from: dt.datetime
    id: int | None = None  # the row's, once it is stored

    def units(self, *, segments: int) -> int:
        """How many units of this rate a message of `segments` SMS segments takes."""
        return segments if self.unit is PriceUnit.SEGMENT else 1


@dataclass(frozen=True, slots=True)
class Amount:
    """Exact money, to six places."""

    value: Decimal
    currency: str


class RateBook:
    """Finds the rate of a number at a moment; built once over all rates."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        found: dict[tuple[str, Channel], dict[str, list[Rate]]] = defaultdict(dict)
        for rate in sorted(rates, key=_valid_from, reverse=True):
            found[rate.account, rate.channel].setdefault(rate.prefix, []).append(rate)
        self._by_prefix = {
            key: (sorted({len(prefix) for prefix in rates}, reverse=True), rates)
            for key, rates in found.items()
        }

    def rate_for(
        self, *, account: str, channel: Channel, phone: str, at: dt.datetime
    ) -> Rate | None:
        """Of the rates in force at `at`, the one with the longest prefix of `phone` (E.164), then
        the latest; None if there is none.
        """
        lengths, by_prefix = self._by_prefix.get((account, channel), ((), {}))
        for length in lengths:
            for rate in by_prefix.get(phone[:length], ()):
                if rate.valid_from <= at:
                    return rate
        return None


def charge(rate: Rate, *, units: int) -> Amount:
    """The cost of `units` of the rate's unit."""
    return Amount((rate.price * units).quantize(_QUANTUM), rate.currency)


def read_rates(lines: Iterable[str], *, source: str = "rates.csv") -> list[Rate]:
    """The rates of a CSV file with the header `COLUMNS`; `source` is its name for messages.

    Raises ConfigurationError naming file, line, field, problem and cure.
    """
    reader = csv.DictReader(lines, restkey="", restval="")
    if tuple(reader.fieldnames or ()) != COLUMNS:
        wanted = ",".join(COLUMNS)
        raise ConfigurationError(f"{source}, line 1", "not the header of rates", f"write {wanted}")
    rates: dict[tuple[str, Channel, str, dt.datetime], Rate] = {}
    for row in reader:
        where = f"{source}, line {reader.line_num}"
        rate = _rate(where, row)
        key = (rate.account, rate.channel, rate.prefix, rate.valid_from)
        if key in rates:
            raise ConfigurationError(where, "this rate was given above", "keep one of the two")
        rates[key] = rate
    return list(rates.values())


def _rate(where: str, row: dict[str, str]) -> Rate:
    if "" in row:
        cure = f"give {len(COLUMNS)} values"
        raise ConfigurationError(where, "more values than columns", cure)
    return Rate(
        account=_matching(f"{where}, account", row["account"], _ACCOUNT, "notify-vk"),
        channel=_member(f"{where}, channel", row["channel"], Channel),
        prefix=_matching(f"{where}, prefix", row["prefix"], _PREFIX, "+7"),
        unit=_member(f"{where}, unit", row["unit"], PriceUnit),
        price=Decimal(_matching(f"{where}, price", row["price"], _PRICE, "0.30")),
        currency=_matching(f"{where}, currency", row["currency"], _CURRENCY, "RUB"),
        valid_from=_moment(f"{where}, valid_from", row["valid_from"]),
    )


def _matching(field: str, value: str, pattern: re.Pattern[str], example: str) -> str:
    if pattern.fullmatch(value) is None:
        raise ConfigurationError(
            field, f"{value!r} cannot be read", f"write for example {example}"
        )
    return value


def _member(field: str, value: str, kind: type[E]) -> E:
    try:
        return kind(value)
    except ValueError:
        cure = f"use one of {', '.join(kind)}"
        raise ConfigurationError(field, f"{value!r} is not known", cure) from None


def _moment(field: str, value: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        cure = "write for example 2026-01-01T00:00:00Z"
        raise ConfigurationError(field, f"{value!r} is not a moment with its zone", cure)
    return moment.astimezone(dt.UTC)
