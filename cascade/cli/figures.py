"""Money and times for people's eyes."""

from __future__ import annotations

import datetime as dt

from collections.abc import Mapping
from decimal import Decimal


_CENT = Decimal("0.01")


def money(amount: Decimal, currency: str) -> str:
    """`1.20 RUB`; smaller parts are shown where there are any."""
    short = amount.quantize(_CENT)
    return f"{short if short == amount else amount.normalize()} {currency}"


def total(cost: Mapping[str, Decimal]) -> str:
    """`1.20 RUB`, `1.20 RUB and 0.05 USD`, or `nothing`."""
    return " and ".join(money(cost[one], one) for one in sorted(cost)) or "nothing"


def span(duration: dt.timedelta) -> str:
    """`0.4 s`, `15 s` (exactly), `2 min 05 s`, `3 h 02 min`, `2 d 01 h`."""
    seconds = duration.total_seconds()
    if seconds < 100:  # noqa: PLR2004  # so that a step's 60s and 90s read as they were written
        return f"{seconds:.0f} s" if seconds.is_integer() else f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, part, part_size in (("min", 60, "s", 1), ("h", 3600, "min", 60)):
        if whole < 100 * size:
            return _two(whole // size, unit, whole % size // part_size, part)
    return _two(whole // 86400, "d", whole % 86400 // 3600, "h")


def after(moment: dt.datetime, beginning: dt.datetime) -> str:
    """`+8.9 s`."""
    return f"+{span(moment - beginning)}"


def clock(moment: dt.datetime) -> str:
    """`2026-11-22 10:15:02.123 UTC`, without the thousandths if there are none."""
    precision = "milliseconds" if moment.microsecond else "seconds"
    utc = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return f"{utc.isoformat(' ', precision)} UTC"


def _two(whole: int, unit: str, rest: int, part: str) -> str:
    return f"{whole} {unit} {rest:02d} {part}" if rest else f"{whole} {unit}"
