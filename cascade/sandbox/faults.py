"""What the weather does to one send, one webhook and one call of a webhook.

Drawn by seed, account and phone, so that a run can be repeated whatever comes first in it.
"""

from __future__ import annotations

import random

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from cascade.sandbox.weather import Weather


class Kind(StrEnum):
    """What whoever calls sees of an ambiguous send; none of it says whether it was accepted."""

    RESET = "reset"  # the connection is reset before the answer
    SILENT = "silent"  # the answer never comes
    INTERNAL_SERVER_ERROR = "500"
    BAD_GATEWAY = "502"
    GATEWAY_TIMEOUT = "504"
    UNREADABLE = "unreadable"  # a 200 whose body breaks off


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """An ambiguous send; only the ledger tells whether it was accepted."""

    kind: Kind
    accepted: bool


class Failure(StrEnum):
    """A call of a webhook that fails on the provider's side."""

    NOT_SENT = "not sent"
    UNANSWERED = "sent, and its answer thrown away"


_KINDS = tuple(Kind)
_COPY_AFTER = (0.0, 3.0)  # seconds
_SHUFFLED_BY = (0.1, 2.0)
_LATE_BY = (2.0, 30.0)


class Faults:
    """The faults of one account."""

    def __init__(self, weather: Weather, *, seed: int, account: str) -> None:
        self._weather = weather
        self._key = f"{seed}:{account}"
        self._turns: Counter[str] = Counter()

    def ambiguity(self, phone: str) -> Ambiguity | None:
        """What happens to a send to `phone`; the next send to it may fare otherwise."""
        if not self._weather.ambiguous:
            return None
        self._turns[phone] += 1
        dice = self._dice(phone, "send", self._turns[phone])
        if dice.random() >= self._weather.ambiguous:
            return None
        return Ambiguity(dice.choice(_KINDS), accepted=dice.random() < 0.5)  # noqa: PLR2004  # a coin

    def is_early(self, phone: str) -> bool:
        """Whether webhooks of a message to `phone` come before the answer."""
        early = self._weather.early
        return bool(early) and self._dice(phone, "early").random() < early

    def delays(self, phone: str, word: str) -> tuple[float, ...]:
        """How late each copy of a webhook goes out, in promised seconds; none if it is lost."""
        dice = self._dice(phone, word)
        if dice.random() < self._weather.lost:
            return ()
        delay = self._delay(dice)
        if dice.random() < self._weather.duplicated:
            return (delay, delay + dice.uniform(*_COPY_AFTER))
        return (delay,)

    def failure(self, phone: str, word: str, turn: tuple[int, int]) -> Failure | None:
        """What happens to one call of a webhook; `turn` is its copy and try."""
        if not self._weather.failing:
            return None
        dice = self._dice(phone, word, *turn)
        if dice.random() >= self._weather.failing:
            return None
        return dice.choice(tuple(Failure))

    def _delay(self, dice: random.Random) -> float:
        share = dice.random()
        if share < self._weather.late:
            return dice.uniform(*_LATE_BY)
        if share < self._weather.late + self._weather.shuffled:
            return dice.uniform(*_SHUFFLED_BY)
        return 0.0

    def _dice(self, *key: object) -> random.Random:
        return random.Random(":".join((self._key, *map(str, key))))  # noqa: S311  # repeatable
