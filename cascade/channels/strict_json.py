"""JSON as it may be believed: what Python's reader lets through silently is refused here."""

from __future__ import annotations

import json

from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel


Model = TypeVar("Model", bound=BaseModel)


def loads(body: bytes) -> Any:
    """The value in `body`; whole numbers of any size stay exact.

    Raises ValueError also for NaN and Infinity, for a name given twice in one object (which of
    two statuses is meant?), and for nesting too deep to read.
    """
    try:
        return json.loads(body, object_pairs_hook=_object, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def readable(model: type[Model], values: object) -> list[Model]:
    """Those of `values` that are a `model`.

    Raises ValueError if `values` is no list, or a list of nothing readable.
    """
    if not isinstance(values, list):
        raise ValueError("not a list")  # noqa: TRY004  # bad input, not a bad program
    models = []
    for value in values:
        try:
            models.append(model.model_validate(value))
        except ValueError:
            continue  # one bad row must not take its neighbours with it
    if values and not models:
        raise ValueError("nothing readable")
    return models


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is given twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
