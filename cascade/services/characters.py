"""Texts of a caller that can be stored and sent."""

from __future__ import annotations

import re

from cascade.domain.errors import InvalidInputError


NAME_MAXIMUM = 200  # characters of a sender, a key, a task or a queue

_IMPROPER = re.compile("[\x00\ud800-\udfff]")


def is_proper(value: object) -> bool:
    """Whether it is a text without NUL characters and halves of surrogate pairs."""
    return isinstance(value, str) and _IMPROPER.search(value) is None


def check_characters(name: str, value: object) -> None:
    """Raises InvalidInputError for what is not proper."""
    checked_characters(name, value)


def checked_characters(name: str, value: object) -> str:
    """`value`, if it is proper; raises InvalidInputError."""
    if not isinstance(value, str):
        raise InvalidInputError(name, "it is no text", "give a str")
    if "\x00" in value:
        raise InvalidInputError(name, "it holds a NUL character", "remove it")
    if _IMPROPER.search(value):
        raise InvalidInputError(
            name, "it holds half a surrogate pair", "decode it properly before sending"
        )
    return value


def check_name(name: str, value: object) -> None:
    """Raises InvalidInputError for what is not proper, empty or too long."""
    if not 0 < len(checked_characters(name, value)) <= NAME_MAXIMUM:
        raise InvalidInputError(
            name, "it is empty or too long", f"give 1 to {NAME_MAXIMUM} characters"
        )
