"""Sets of rows as one parameter: JSON that PostgreSQL unfolds with typed columns."""

from __future__ import annotations

import datetime as dt
import json
import uuid

from collections.abc import Iterable, Mapping


def _plain(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return "\\x" + value.hex()  # PostgreSQL's own hex form of bytea
    msg = f"no row form for {type(value).__name__}"
    raise TypeError(msg)


def as_rows(rows: Iterable[Mapping[str, object]]) -> str:
    """For `json_to_recordset(CAST(:rows AS json))`: one round trip for any number of rows."""
    return json.dumps(list(rows), default=_plain)


def as_ids(ids: Iterable[object]) -> list[str]:
    """For `ANY(CAST(:ids AS bigint[]))` and the like."""
    return [str(one) for one in ids]
