"""Imagined people: which channels they use, and how soon they are reached there."""

from __future__ import annotations

import functools
import random
import zlib

from collections.abc import Mapping
from dataclasses import dataclass

from cascade.domain.state import Channel
from cascade.testing.reaction import Reaction, delivered, silent, unsupported


_RNG = random.Random()  # noqa: S311  # no secret; seeded anew for each person


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
        rng = _RNG
        rng.seed(zlib.crc32(f"{self.seed} {phone} {channel}".encode()))
        if rng.random() >= self.users.get(channel, 0.0):
            return unsupported()
        if rng.random() >= self.online:
            return silent()
        after = self.median * self.spread ** rng.gauss(0.0, 1.0)
        is_read = rng.random() < self.reading
        return delivered(after, read_after=after * 3 if is_read else None)


@functools.cache
def phone_of(place: int) -> str:
    """The number of an imagined person, E.164: a Russian mobile number; from 0 to 9,999,999."""
    return f"+7916{place:07d}"
