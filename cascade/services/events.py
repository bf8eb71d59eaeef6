"""Reading what happened to messages, in an order that misses nothing."""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterator

from sqlalchemy import Connection

from cascade.domain.cursor import START, Cursor
from cascade.domain.errors import InvalidInputError
from cascade.domain.event import Event
from cascade.services.deployment import Ledger
from cascade.storage.database import transaction
from cascade.storage.events import check_cursor, cursor_before, read_events


PAGE = 500  # events that are read at once


def events(
    ledger: Ledger, since: str | dt.datetime | None = None, *, limit: int | None = None
) -> Iterator[Event]:
    """The events after a cursor, from an aware time on, or all; up to now, `limit` at most.

    No transaction is open while the caller works on them. Raises InvalidInputError at once for a
    value that cannot be used, ConfigurationError if the events are of another server.
    """
    _check(since)
    if limit is not None and limit < 1:
        raise InvalidInputError("limit", "it is less than 1", "give a number of events, or None")
    after = transaction(ledger.engine, lambda c: _place(c, since))
    return _pages(ledger, after, since if isinstance(since, dt.datetime) else None, limit)


def _check(since: str | dt.datetime | None) -> None:
    if isinstance(since, str):
        Cursor.parse(since)
    elif since is not None and since.utcoffset() is None:
        raise InvalidInputError(
            "since", "a time without a zone", "give an aware datetime, such as one of dt.UTC"
        )


def _place(connection: Connection, since: str | dt.datetime | None) -> Cursor:
    after = START
    if isinstance(since, str):
        after = Cursor.parse(since)
    elif since is not None:
        after = cursor_before(connection, since)
    check_cursor(connection, after)
    return after


def _pages(
    ledger: Ledger, after: Cursor, since: dt.datetime | None, limit: int | None
) -> Iterator[Event]:
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = _page(ledger, after, since, size)
        yield from page
        if len(page) < size:
            return
        after = Cursor.parse(page[-1].cursor)
        left = None if left is None else left - size


def _page(ledger: Ledger, after: Cursor, since: dt.datetime | None, size: int) -> list[Event]:
    return transaction(
        ledger.engine, lambda c: read_events(c, after=after, since=since, limit=size)
    )
