"""What the digit 0 draws: how many people a channel reaches, how soon, and how many read.

Shares are those of the published figures where there are any (docs/sandbox.md names them); the
rest is assumed. Seconds are before `scale`.
"""

from __future__ import annotations

import math
import random

from dataclasses import dataclass

from cascade.sandbox.clock import Tempo
from cascade.sandbox.outcomes import Channel, Outcome
from cascade.sandbox.timeline import HANDED_ON, SOON, Fate, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """`delivered` holds (share of the reached, within seconds), both growing; the rest is never.

    `known` is the share of those not reached that the provider knows of at once.
    """

    reached: float
    known: float = 0.0
    unreached: Outcome = Outcome.NOT_A_USER
    delivered: tuple[tuple[float, float], ...]
    read: float


_NOTIFY = ((0.42, 60.0), (0.60, 3600.0), (0.90, 86400.0))

REACH: dict[Channel, Reach] = {
    Channel.VK: Reach(reached=0.60, known=0.75, delivered=_NOTIFY, read=0.85),
    Channel.OK: Reach(reached=0.35, known=0.75, delivered=_NOTIFY, read=0.85),
    Channel.VIBER: Reach(reached=0.33, delivered=((0.85, 60.0), (0.95, 600.0)), read=0.70),
    Channel.WHATSAPP: Reach(reached=0.38, delivered=((0.85, 60.0), (1.0, 600.0)), read=0.80),
    Channel.SMS: Reach(
        reached=0.98,
        unreached=Outcome.UNDELIVERABLE,
        delivered=((0.90, 20.0), (1.0, 300.0)),
        read=0.0,
    ),
}

_QUICKEST = 1.0
_READING = (2.0, 600.0)


def chance_of(seed: int, account: str, phone: str) -> random.Random:
    """The dice of one number at one account: the same seed always throws the same."""
    return random.Random(f"{seed}:{account}:{phone}")  # noqa: S311  # repeatable, not secret


def draw_outcome(channel: Channel, dice: random.Random) -> Outcome:
    """DRAWN for a person who is reached, else how the provider tells that they are not."""
    reach = REACH[channel]
    if dice.random() < reach.reached:
        return Outcome.DRAWN
    return Outcome.NOT_A_USER_AT_ONCE if dice.random() < reach.known else reach.unreached


def draw_steps(channel: Channel, dice: random.Random, tempo: Tempo) -> tuple[Step, ...]:
    """The steps of a person who is reached; an infinite delay stands for never."""
    reach = REACH[channel]
    delivered = max(_delay(reach, dice) * tempo.scale, SOON)
    steps = (HANDED_ON, Step(Fate.DELIVERED, delivered))
    if dice.random() >= reach.read:
        return steps
    read = delivered + max(_between(_READING, dice) * tempo.scale, SOON)
    return (*steps, Step(Fate.READ, read))


def _delay(reach: Reach, dice: random.Random) -> float:
    share, quicker = dice.random(), _QUICKEST
    for upto, within in reach.delivered:
        if share < upto:
            return _between((quicker, within), dice)
        quicker = within
    return math.inf


def _between(borders: tuple[float, float], dice: random.Random) -> float:
    """Log-uniform: an hour's tail should not hide the first minute."""
    return math.exp(dice.uniform(math.log(borders[0]), math.log(borders[1])))
