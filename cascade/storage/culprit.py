"""Changing due attempts in one statement, without one bad row that stops the others for ever."""

from __future__ import annotations

import logging

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text
from sqlalchemy.exc import DBAPIError

from cascade.storage.database import CLOCK, is_passing


log = logging.getLogger(__name__)

_PUT_OFF = text(f"""
    UPDATE cascade.attempts SET due_at = {CLOCK} + interval '1 hour' WHERE id = :id
""")  # noqa: S608  # a constant


def change_due(
    connection: Connection,
    change: TextClause,
    candidates: TextClause,
    values: Mapping[str, Any],
    *,
    quota: int,
) -> list[Row[Any]]:
    """The rows that `change` returns for about `quota` attempts.

    `candidates` locks and names the same attempts, in the same order. A set that fails as a whole
    is halved down to the culprit, which is put off for an hour, with an alert.
    """
    changed: list[Row[Any]] = []
    size = quota
    while len(changed) < quota:
        try:
            with connection.begin_nested():
                rows = connection.execute(change, {**values, "quota": size}).all()
        except DBAPIError as error:
            if is_passing(error):
                raise
            if size == 1:
                _put_off(connection, candidates, values, error)
            size = max(1, size // 2)
            continue
        changed += rows
        if len(rows) < size:
            break
        size = min(quota, size * 2)
    return changed


def _put_off(
    connection: Connection,
    candidates: TextClause,
    values: Mapping[str, Any],
    error: DBAPIError,
) -> None:
    culprit = connection.execute(candidates, {**values, "quota": 1}).scalars().first()
    log.error(
        "an attempt cannot be ticked: %s",
        type(error).__name__,
        extra={"attempt_id": culprit},
    )
    connection.execute(_PUT_OFF, {"id": culprit})
