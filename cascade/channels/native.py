"""A provider's own codes, references and times, made fit to be kept and shown."""

from __future__ import annotations

import datetime as dt
import re

from typing import Annotated

from pydantic import BeforeValidator, Field


# Codes reach logs and error columns, so nothing that could be a phone number or a text passes.
_CODE = re.compile(r"(?!.*\d{7})[A-Za-z0-9_.:-]{1,64}")

_UNREADABLE = "unreadable"

# Unix times beyond this are milliseconds: in seconds it is the year 5138.
_MILLISECONDS = 100_000_000_000


def _digits(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


# Printable, since it is stored and looked up; numbers, also beyond 2^53, become their digits.
Ref = Annotated[str, BeforeValidator(_digits), Field(pattern=r"^[!-~]{1,255}$")]


def native_code(value: object) -> str:
    """`value` if it looks like a code, "" if there is none, else "unreadable"."""
    text = "" if value is None else str(value)
    if text == "" or _CODE.fullmatch(text):
        return text
    return _UNREADABLE


def instant(value: object) -> dt.datetime | None:
    """The moment in `value`, aware; None if it is none.

    Takes Unix seconds and milliseconds, as numbers or digits, and "YYYY-MM-DD hh:mm:ss" in UTC.
    """
    try:
        return _moment(str(value))
    except (ValueError, OverflowError, OSError):
        return None


def _moment(text: str) -> dt.datetime:
    if "-" in text[1:]:
        moment = dt.datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    seconds = float(text)
    if seconds > _MILLISECONDS:
        seconds /= 1000
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
