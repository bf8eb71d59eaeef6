"""JSON as it may be believed: what Python's reader lets through silently is refused here."""

from __future__ import annotations

import codecs
import json
import logging
import math

from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel


log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=BaseModel)

DEPTH = 32  # objects and lists within each other
DIGITS = 20  # of one number: those of a 64-bit integer, and of any float that is written in full


def loads(body: bytes) -> Any:
    """The value in `body`, which is UTF-8; whole numbers of any size stay exact.

    Raises ValueError also for NaN, Infinity and numbers beyond every float, for more than `DIGITS`
    digits, for a name given twice in one object (which of two statuses is meant?), and for more
    than `DEPTH` levels. Bytes that are no UTF-8 are read as U+FFFD, and control characters as
    they are: a name that nobody looks at must not cost a receipt.
    """
    try:
        value = _DECODER.decode(body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if body.count(b"[") + body.count(b"{") > DEPTH:  # else it cannot be
        _check_depth(value, DEPTH)
    return value


def readable(model: type[Model], values: object) -> list[Model]:
    """Those of `values` that are a `model`; how many are not is logged.

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
    if len(models) < len(values):
        log.error("%d of %d rows cannot be read", len(values) - len(models), len(values))
    return models


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is given twice")
    return members


def _int(number: str) -> int:
    _check_digits(number)
    return int(number)


def _float(number: str) -> float:
    _check_digits(number)
    value = float(number)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value


def _check_digits(number: str) -> None:
    if len(number) > DIGITS and sum(one.isdigit() for one in number) > DIGITS:
        raise ValueError("a number is too long")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_int,
    parse_float=_float,
    parse_constant=_refuse,
    strict=False,
)


def _check_depth(value: object, levels: int) -> None:
    """Raises ValueError if `value` holds more than `levels` lists and objects within each other."""
    if not isinstance(value, dict | list):
        return
    if levels == 0:
        raise ValueError("nested too deeply")
    inner: Iterable[object] = value.values() if isinstance(value, dict) else value
    for one in inner:
        _check_depth(one, levels - 1)
