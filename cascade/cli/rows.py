"""From the cells of a row to what the client is asked to send."""

from __future__ import annotations

import datetime as dt

from collections.abc import Collection, Mapping

from cascade.cli.asking import Asked
from cascade.cli.campaign import Campaign
from cascade.cli.recipients import KEY, LANGUAGE, OF_THE_ROW, SEND_AT, TO, Record
from cascade.cli.values import moment
from cascade.client import Row
from cascade.domain.errors import CascadeError, IdempotencyConflictError, InvalidInputError
from cascade.domain.phone import normalise
from cascade.domain.state import Lane
from cascade.services.submission import Submission, check


_ANYBODY = "+79161234567"  # for checking the words before the first row is read


def check_words(asked: Asked, columns: Collection[str]) -> None:
    """Raises InvalidInputError for what would refuse every row: said once, before any is sent."""
    for language in asked.languages:
        places = asked.places(language)
        for name in sorted(places - set(columns)):
            raise InvalidInputError(
                f"variables[{name!r}]",
                "the file has no such column",
                "add it, or change the words",
            )
        check(
            Submission(
                to=_ANYBODY,
                text=asked.text,
                texts=asked.texts,
                templates=asked.templates,
                variables=dict.fromkeys(places, "…"),
                language=language or ("en" if LANGUAGE in columns else None),
                policy=asked.policy,
                sender=asked.sender,
                deadline=asked.deadline,
                priority=Lane(asked.priority),
            )
        )


def left_out(asked: Asked, columns: Collection[str]) -> list[str]:
    """The columns that no text has a place for."""
    used = frozenset[str]().union(*(asked.places(one) for one in asked.languages))
    return [name for name in columns if name and name not in used | OF_THE_ROW]


def row_of(record: Record, asked: Asked, campaign: Campaign) -> Row:
    """What the client sends for `record`; raises InvalidInputError.

    Numbers and times are spelled in one way, so that a file which another program has saved in its
    own still asks for the same messages.
    """
    cells = record.cells
    if isinstance(cells, InvalidInputError):
        raise cells
    language = cells.get(LANGUAGE) or None
    row = Row(
        to=_phone(cells.get(TO, "").strip()),
        key=cells.get(KEY) or None,
        variables=_variables(cells, asked.places(language)),
        language=language,
        send_at=_moment(cells.get(SEND_AT)),
    )
    if row["key"] is None:
        row["key"] = campaign.key(row)
    return row


def explained(error: CascadeError, record: Record) -> CascadeError:
    """`error` in the words of this command: who gave no key is told of the campaign."""
    has_key = not isinstance(record.cells, InvalidInputError) and bool(record.cells.get(KEY))
    if has_key or not isinstance(error, IdempotencyConflictError):
        return error
    return IdempotencyConflictError(
        "campaign",
        "it sent this row before with other words or options",
        "run it as it was, or name another --campaign to send to everybody again",
    )


def _variables(cells: Mapping[str, str], places: Collection[str]) -> dict[str, str]:
    found = {name: cells[name] for name in sorted(places) if name in cells}
    for name, value in found.items():
        if not value.strip():  # else people read ", your order is ready"
            raise InvalidInputError(
                f"variables[{name!r}]",
                "it is empty",
                "fill it in, or send this row with words that do without it",
            )
    return found


def _phone(cell: str) -> str:
    """As E.164; as it stands if it is no number, for which the client refuses it."""
    try:
        return normalise(cell)
    except InvalidInputError:
        return cell


def _moment(cell: str | None) -> dt.datetime | None:
    """In UTC; as it stands if it has no zone, for which the client refuses it."""
    if not cell:
        return None
    try:
        at = moment(cell.strip())
        return at if at.utcoffset() is None else at.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            SEND_AT, "it is no time", "write it as 2026-12-31T10:00+03:00 is written"
        ) from None
