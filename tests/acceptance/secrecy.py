"""Where a phone number or a text could leak to, read as text; and the words to look for."""

from __future__ import annotations

import base64
import binascii
import json
import re

from collections.abc import Collection, Iterator
from urllib.parse import quote

from demo.campaign import TEXT
from tests.acceptance.service import VARIABLES, Service


ENCODED = re.compile(r"[A-Za-z0-9+/_-]{13,}={0,2}")
DIGITS = re.compile(r"[0-9][0-9 ().-]{8,}[0-9]")  # 8 (916) 123-45-67 too
DEPTH = 3  # base64 within base64: a sealed request in a task's body in the broker's envelope


def secrets(numbers: Collection[str]) -> set[str]:
    """The numbers without their country code, and words that are in every message."""
    words = [part for part in re.split(r"#\w+#|[,.№]", TEXT) if len(part.strip()) > 8]
    return {number[2:] for number in numbers} | set(words) | {VARIABLES["name"]}


def found(content: str, wanted: Collection[str]) -> list[str]:
    """The places where a secret stands, as it is or encoded, each with what is before it."""
    spellings = {each for one in wanted for each in _spellings(one)}
    numbers = {each for each in spellings if each.isdigit()}
    readable = "\n".join([content, *_decoded(content, DEPTH)]).replace("\\\\", "\\").casefold()
    places = (readable.find(each) for each in spellings - numbers)
    return [
        *(readable[max(0, place - 60) : place] for place in places if place >= 0),
        *_before_numbers(readable, numbers),
    ]


def database_contents(service: Service) -> Iterator[str]:
    """Every row of every table, what the planner remembers of them, and what is being run."""
    tables = service.rows(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    assert {"cascade.messages", "cascade.receipts", "cascade.attempts"} <= {t for (t,) in tables}
    names = [name for (name,) in tables] + ["pg_stats", "pg_stat_activity"]
    for name in names:
        for (row,) in service.rows(f"SELECT t::text FROM {name} t"):  # noqa: S608  # a table's name
            yield row


def _spellings(one: str) -> Iterator[str]:
    """As text, JSON, an address, Python's bytes, hexadecimal bytes and an SMS's."""
    raw = one.encode()
    for spelling in (one, json.dumps(one)[1:-1], quote(one), repr(raw)[2:-1], raw.hex()):
        yield spelling.casefold()
    yield one.encode("utf-16-be").hex()


def _before_numbers(readable: str, numbers: Collection[str]) -> Iterator[str]:
    """By their digits: thousands of numbers in megabytes of logs."""
    lengths = {len(number) for number in numbers}
    for run in DIGITS.finditer(readable):
        digits = re.sub("[^0-9]", "", run[0])
        for length in lengths:
            windows = {digits[at : at + length] for at in range(len(digits) - length + 1)}
            if windows & set(numbers):
                yield readable[max(0, run.start() - 60) : run.start()]


def _decoded(content: str, depth: int) -> Iterator[str]:
    """What is in base64, also among bytes that are no text, as in WhatsApp's message ids."""
    for encoded in set(ENCODED.findall(content)) if depth else ():
        padded = encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4)
        try:
            decoded = base64.urlsafe_b64decode(padded.translate({43: 45, 47: 95}))
        except binascii.Error:
            continue
        inner = decoded.decode("utf-8", "replace")
        yield inner
        yield from _decoded(inner, depth - 1)
