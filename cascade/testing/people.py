"""Imagined people: which channels they use, and how soon they are reached there."""

from __future__ import annotations

import functools
import hashlib
import struct

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from cascade.domain.state import Channel
from cascade.testing.reaction import Reaction, delivered, silent, unsupported


_NORMAL = NormalDist()
_DRAWS = struct.Struct("<4Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """`users`: the share of people (0 … 1) who use each channel; nobody uses one not named.

    Of users, the share `online` is reached: half of them within `median` seconds, on a long tail
    (a factor of `spread` either way holds two thirds). The others stay silent. Of those reached,
    the share `reading` reads it. Each person is the same at every run of a seed.
    """

    users: Mapping[str, float]
    online: float = 0.95
    median: float = 4.0
    spread: float = 3.0
    reading: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        for channel in self.users:
            Channel(channel)  # raises ValueError for one that is not known

    def __call__(self, phone: str, channel: Channel) -> Reaction:
        uses, is_online, soon, reads = _draws(f"{self.seed} {phone} {channel}")
        if uses >= self.users.get(channel, 0.0):
            return unsupported()
        if is_online >= self.online:
            return silent()
        after = self.median * self.spread ** _NORMAL.inv_cdf(soon)
        return delivered(after, read_after=after * 3 if reads < self.reading else None)


def _draws(name: str) -> list[float]:
    """Four numbers between 0 and 1 that are always the same for this name: seeding a generator
    for them would take many times as long.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=_DRAWS.size).digest()
    return [((one >> 12) + 0.5) / 2**52 for one in _DRAWS.unpack(digest)]


@functools.cache
def phone_of(place: int) -> str:
    """The number of an imagined person, E.164: a Russian mobile number; from 0 to 9,999,999."""
    return f"+7916{place:07d}"
