"""From when to when: dates, moments and durations as they are written on the command line."""

from __future__ import annotations

import datetime as dt
import re

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cascade.domain.errors import InvalidInputError


DAYS = 7  # that are reported where nothing is said

_BACK = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_UNITS = {"m": dt.timedelta(minutes=1), "h": dt.timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` up to, but not at, `until`; both aware, in the time zone of the report."""

    since: dt.datetime
    until: dt.datetime


def zone(name: str) -> ZoneInfo:
    """The time zone of that name; raises InvalidInputError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInputError(
            "--timezone", "no such time zone", "write for example Europe/Moscow or UTC"
        ) from None


def period(since: str | None, until: str | None, now: dt.datetime, timezone: ZoneInfo) -> Period:
    """What the two options mean at `now`; the last seven days, today included, without them.

    Raises InvalidInputError.
    """
    end = now.astimezone(timezone) if until is None else _moment("--until", until, now, timezone)
    last = end - dt.timedelta(microseconds=1)
    start = _days_back(DAYS, last) if since is None else _moment("--since", since, now, timezone)
    if start >= end:
        raise InvalidInputError("--since", "it is not before --until", "give an earlier moment")
    return Period(start, end)


def _moment(option: str, value: str, now: dt.datetime, timezone: ZoneInfo) -> dt.datetime:
    back = _BACK.fullmatch(value)
    if back is None:
        return _written(option, value, timezone)
    number, unit = int(back[1]), back[2]
    if unit == "d":
        return _days_back(number, now.astimezone(timezone))
    return (now - number * _UNITS[unit]).astimezone(timezone)


def _days_back(days: int, end: dt.datetime) -> dt.datetime:
    """The midnight that begins the last so many days, the day of `end` included."""
    day = end.date() - dt.timedelta(days=days - 1)
    return dt.datetime.combine(day, dt.time(), end.tzinfo)


def _written(option: str, value: str, timezone: ZoneInfo) -> dt.datetime:
    try:
        if len(value) == len("2026-01-31"):
            return dt.datetime.combine(dt.date.fromisoformat(value), dt.time(), timezone)
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise InvalidInputError(
            option, "it is neither a date nor a moment", "write 2026-01-31, or 7d"
        ) from None
    if moment.tzinfo is None:
        raise InvalidInputError(
            option, "it has no offset", "write a date, or a moment such as 2026-01-31T12:00+03:00"
        )
    return moment.astimezone(timezone)
