"""Where a phone number or a text could leak to, read as text; and the words to look for."""

from __future__ import annotations

import base64
import binascii
import json
import re

from collections.abc import Collection, Iterator

from demo.campaign import TEXT
from tests.acceptance.service import VARIABLES, Service


ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")


def secrets(numbers: Collection[str]) -> set[str]:
    """The numbers without their country code, and words that are in every message."""
    words = [part for part in re.split(r"#\w+#|[,.№]", TEXT) if len(part.strip()) > 8]
    return {number[2:] for number in numbers} | set(words) | {VARIABLES["name"]}


def found(content: str, wanted: Collection[str]) -> list[str]:
    """The places where a secret stands, as it is or encoded, each with what is before it."""
    disguises = {
        disguise: one
        for one in wanted
        for disguise in (one, json.dumps(one)[1:-1], one.encode().hex())
    }
    readable = "\n".join([content, *_decoded(content)])
    places = (readable.find(disguise) for disguise in disguises)
    return [readable[max(0, place - 60) : place] for place in places if place >= 0]


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


def _decoded(content: str) -> Iterator[str]:
    for encoded in set(ENCODED.findall(content)):
        padded = encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4)
        try:
            yield base64.urlsafe_b64decode(padded.translate({43: 45, 47: 95})).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
