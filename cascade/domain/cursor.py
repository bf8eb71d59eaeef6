"""A reader's place among the events, as text that callers keep and give back."""

from __future__ import annotations

import re

from dataclasses import dataclass
from typing import Self

from typing_extensions import override

from cascade.domain.errors import InvalidInputError


_FORM = re.compile(r"([0-9]{1,19})-([0-9]{1,19})", re.ASCII)
_LARGEST = 2**63 - 1  # PostgreSQL's bigint


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place after one event; events are ordered by their transaction, then by their id."""

    transaction: int
    id: int

    @classmethod
    def parse(cls, written: str) -> Self:
        """The inverse of `str`; raises InvalidInputError."""
        found = _FORM.fullmatch(written)
        numbers = [int(number) for number in found.groups()] if found else []
        if not numbers or max(numbers) > _LARGEST:
            raise InvalidInputError(
                "since", "it is not a cursor", "give the `cursor` of an event as it was, or a time"
            )
        return cls(*numbers)

    @override
    def __str__(self) -> str:
        return f"{self.transaction}-{self.id}"


START = Cursor(0, 0)
