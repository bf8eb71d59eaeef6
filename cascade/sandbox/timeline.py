"""When what happens to an accepted message, and when its provider tells of it."""

from __future__ import annotations

import math

from dataclasses import dataclass, replace
from enum import StrEnum

from cascade.sandbox.clock import Tempo
from cascade.sandbox.outcomes import Outcome


class Fate(StrEnum):
    """One event in the life of an accepted message; a later member outranks an earlier one."""

    SENT = "sent"
    UNSUPPORTED = "unsupported"
    BLOCKED = "blocked"
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    DELIVERED = "delivered"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Step:
    """`fate` happens `happens` seconds after acceptance; its webhooks go out `told` seconds after.

    `told` is None where the provider tells at once.
    """

    fate: Fate
    happens: float
    told: float | None = None
    copies: int = 1


SOON = 0.03  # "at once": the device takes some tens of milliseconds
HANDED_ON = Step(Fate.SENT, 0.01)
_WHILE = 20.0  # seconds before `scale`
_READING = 5.0
_LOOKUP = 2.0
_LATE_AFTER_TTL = 8.0  # promised seconds
_LATE = 38.0


def steps_of(outcome: Outcome, *, ttl: float, tempo: Tempo, reads: bool) -> tuple[Step, ...]:
    """The steps of an accepted message; `ttl` in promised seconds, infinite if there is none.

    `reads` says whether the channel knows of reading. A provider with a TTL withdraws at its end.
    """
    if outcome is Outcome.OUT_OF_ORDER:
        return _out_of_order(reads=reads)
    ends = ttl * tempo.second
    steps = (HANDED_ON, *_ending(outcome, ends, tempo))
    if outcome is Outcome.TWICE:
        steps = tuple(replace(step, copies=2) for step in steps)
    return steps if outcome is Outcome.LATE_AFTER_TTL else withdrawn(steps, ends)


def withdrawn(steps: tuple[Step, ...], ends: float) -> tuple[Step, ...]:
    """`steps`, unless they deliver after `ends` seconds: then the message expires there."""
    delivery = next((step for step in steps if step.fate is Fate.DELIVERED), None)
    if delivery is None or delivery.happens < ends:
        return steps
    kept = tuple(step for step in steps if step.fate not in {Fate.DELIVERED, Fate.READ})
    return kept if math.isinf(ends) else (*kept, Step(Fate.EXPIRED, ends))


def _ending(outcome: Outcome, ends: float, tempo: Tempo) -> tuple[Step, ...]:
    """What follows "sent", by outcome; an outcome that is not here is delivered at once."""
    soon = Step(Fate.DELIVERED, SOON)
    slow = Step(Fate.DELIVERED, _after(_WHILE, tempo))
    lookup = _after(_LOOKUP, tempo)
    endings: dict[Outcome, tuple[Step, ...]] = {
        Outcome.AFTER_A_WHILE: (slow,),
        Outcome.SILENT: (slow,),
        Outcome.READ: (soon, Step(Fate.READ, SOON + _after(_READING, tempo))),
        Outcome.NOT_A_USER: (Step(Fate.UNSUPPORTED, lookup),),
        Outcome.BLOCKED: (Step(Fate.BLOCKED, lookup),),
        Outcome.UNDELIVERABLE: (Step(Fate.UNDELIVERABLE, lookup),),
        Outcome.NEVER: (),
        Outcome.EXPIRED: (Step(Fate.EXPIRED, ends),),
        Outcome.LATE: (Step(Fate.DELIVERED, _LATE * tempo.second),),
        Outcome.LATE_AFTER_TTL: (Step(Fate.DELIVERED, ends + _LATE_AFTER_TTL * tempo.second),),
    }
    return endings.get(outcome, (soon,))


def _out_of_order(*, reads: bool) -> tuple[Step, ...]:
    """Everything is over before the first webhook goes out; the newest event is told first."""
    told = (Step(Fate.DELIVERED, SOON, 0.2), replace(HANDED_ON, told=0.3))
    return (Step(Fate.READ, SOON * 2, 0.1), *told) if reads else told


def _after(seconds: float, tempo: Tempo) -> float:
    return max(seconds * tempo.scale, SOON)
