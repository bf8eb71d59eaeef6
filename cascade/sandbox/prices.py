"""What a provider bills for one delivered message: its own list, exact decimals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import smsutil  # type: ignore[import-untyped]  # segments, counted by others than Cascade


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """`price` per `unit` ("message" or "segment") to numbers that begin with `prefix` (digits)."""

    prefix: str
    unit: str
    price: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one message costs if it is delivered; price and currency are None if unlisted."""

    units: int
    price: Decimal | None
    currency: str | None

    @property
    def amount(self) -> Decimal | None:
        """The whole sum, exact."""
        return None if self.price is None else self.price * self.units


def prices_of(rows: Iterable[Mapping[str, str]]) -> tuple[Price, ...]:
    """The price list of a config file, the longest prefix first; raises ValueError."""
    return tuple(sorted(map(_price_of, rows), key=lambda price: -len(price.prefix)))


def segments_of(text: str) -> int:
    """How many SMS `text` needs."""
    return len(smsutil.split(text).parts)


def bill_for(phone: str, text: str, prices: Sequence[Price]) -> Bill:
    """The bill at the price of the longest prefix of `phone` (E.164)."""
    digits = phone.removeprefix("+")
    price = next((price for price in prices if digits.startswith(price.prefix)), None)
    if price is None:
        return Bill(units=1, price=None, currency=None)
    units = segments_of(text) if price.unit == "segment" else 1
    return Bill(units=units, price=price.price, currency=price.currency)


def _price_of(row: Mapping[str, str]) -> Price:
    if row["unit"] not in {"message", "segment"}:
        raise ValueError("a price's unit is message or segment")
    return Price(
        prefix=str(row["prefix"]).removeprefix("+"),
        unit=row["unit"],
        price=Decimal(row["price"]),
        currency=row["currency"],
    )
