"""How often an account may be used, as data: `50/s`, `5/d`, `1/6s`."""

from __future__ import annotations

import re

from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator


_WRITTEN = re.compile(r"([1-9][0-9]*)/([1-9][0-9]*)?([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` calls in `seconds`."""

    count: int
    seconds: int

    @property
    def pause(self) -> float:
        """Seconds from one call to the next."""
        return self.seconds / self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """What a provider allows one account."""

    rate: Limit | None = None  # in all
    per_person: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An attempt that lines up: its rank, from 1, and the seconds that it can wait."""

    attempt_id: int
    rank: int
    left: float


def parse_limit(written: object) -> Limit | None:
    """None for `unlimited`; raises ValueError with a cure."""
    if written is None or written == _UNLIMITED:
        return None
    found = _WRITTEN.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        raise ValueError(f"no limit; write 50/s, 5/d or 1/6s (s, m, h, d), or {_UNLIMITED}")
    count, units, unit = found.groups()
    return Limit(int(count), int(units or 1) * _SECONDS[unit])


Limited = Annotated[Limit | None, BeforeValidator(parse_limit)]
