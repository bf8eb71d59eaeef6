"""What is broken when: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

from cascade.domain.state import Channel


class Kind(StrEnum):
    """One way to break something."""

    KILL_CHILD = "SIGKILL a worker's child"
    KILL_WORKER = "SIGKILL a worker"
    STOP_CHILDREN = "SIGSTOP a worker's children beyond the lease"
    CLOCK = "shift a worker's clock"
    KILL_GATEWAY = "SIGKILL the gateway"
    KILL_PRODUCER = "SIGKILL a producer"
    KILL_BEAT = "SIGKILL a beat"
    NO_BEAT = "SIGKILL both beats"
    KILL_BROKER = "SIGKILL the broker"
    STOP_BROKER = "SIGSTOP the broker"
    FLUSH_BROKER = "empty the broker"
    RESTART_DATABASE = "restart PostgreSQL at once"
    TERMINATE_BACKENDS = "terminate PostgreSQL's back ends"
    LATENCY = "slow a connection down"
    BLACKHOLE = "swallow what a connection carries"
    RESET = "reset connections and refuse new ones"
    CUT_AFTER_COMMIT = "cut connections behind a COMMIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is broken `at` seconds into the run and mended after `seconds`."""

    number: int
    at: float
    kind: Kind
    target: str  # a process, a link or a server
    seconds: float

    @override
    def __str__(self) -> str:
        lasting = f" for {self.seconds:.0f} s" if self.seconds else ""
        return f"{self.at:6.1f} s  {self.kind}: {self.target}{lasting}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a run is; `sending` is how long messages come and faults happen, in seconds."""

    messages: int
    faults: int
    sending: float
    deadline: float  # of each message, in seconds
    fates: str = "0000123456789"  # digits that the numbers' last five are drawn from


QUICK = Size(messages=1_000, faults=20, sending=50.0, deadline=75.0)
FULL = Size(messages=10_000, faults=200, sending=800.0, deadline=150.0)

CHANNEL_WORKERS = tuple(str(channel) for channel in Channel)
WORKERS = (*CHANNEL_WORKERS, "urgent", "collector", "tick", "callbacks")
PRODUCERS = ("producer-1", "producer-2")
BEATS = ("beat", "beat-2")
BROKER, DATABASE = "broker", "database"

# Times until what was killed works again: processes import for seconds on a busy machine.
_RECOVERY = 6.0
_FIRST = 3.0  # seconds into the run

# (targets, shortest and longest duration in seconds, share of the faults)
_MENU: dict[Kind, tuple[Sequence[str], tuple[float, float], int]] = {
    Kind.KILL_CHILD: (WORKERS, (0, 0), 5),
    Kind.KILL_WORKER: (WORKERS, (1, 4), 4),
    Kind.STOP_CHILDREN: (CHANNEL_WORKERS, (11, 14), 3),
    Kind.CLOCK: (WORKERS, (8, 15), 2),
    Kind.KILL_GATEWAY: (("gateway",), (1, 3), 2),
    Kind.KILL_PRODUCER: (PRODUCERS, (0, 2), 2),
    Kind.KILL_BEAT: (BEATS, (1, 4), 1),
    Kind.NO_BEAT: (("beat",), (5, 12), 1),
    Kind.KILL_BROKER: ((BROKER,), (1, 3), 1),
    Kind.STOP_BROKER: ((BROKER,), (3, 8), 1),
    Kind.FLUSH_BROKER: ((BROKER,), (0, 0), 1),
    Kind.RESTART_DATABASE: ((DATABASE,), (0, 2), 1),
    Kind.TERMINATE_BACKENDS: ((DATABASE,), (0, 0), 2),
    Kind.LATENCY: (
        tuple(f"{name}>{server}" for name in WORKERS for server in (BROKER, DATABASE)),
        (4, 10),
        2,
    ),
    Kind.BLACKHOLE: (
        tuple(f"{n}>{DATABASE}" for n in (*WORKERS, "gateway", *PRODUCERS))
        + tuple(f"{n}>{BROKER}" for n in (*WORKERS, *PRODUCERS)),
        (3, 9),
        3,
    ),
    Kind.RESET: (
        tuple(f"{n}>{DATABASE}" for n in (*WORKERS, "gateway", *PRODUCERS))
        + tuple(f"{n}>{BROKER}" for n in (*WORKERS, *BEATS)),
        (1, 4),
        3,
    ),
    Kind.CUT_AFTER_COMMIT: (
        tuple(f"{n}>{DATABASE}" for n in (*CHANNEL_WORKERS, "collector", "gateway", *PRODUCERS)),
        (6, 10),
        4,
    ),
}


def draw(size: Size, seed: int, *, without: Collection[Kind] = ()) -> tuple[Fault, ...]:
    """The faults of a run in the order of their times; the same seed gives the same ones.

    Nothing is attacked that is still down from an earlier fault: such a fault would not land.
    """
    dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
    busy: dict[str, float] = {}
    gap = (size.sending - _FIRST) / size.faults
    faults = []
    for number, kind in enumerate(_kinds(size.faults, dice, without)):
        at = _FIRST + gap * (number + dice.random() * 0.8)
        faults.append(_fault(number, at, _free(kind, at, busy, dice, without), busy, dice))
    return tuple(faults)


def _kinds(count: int, dice: random.Random, without: Collection[Kind]) -> Iterator[Kind]:
    """Every kind once, in any order, and then by their shares."""
    each = [kind for kind in Kind if kind not in without]
    shares = [_MENU[kind][2] for kind in each]
    more = dice.choices(each, shares, k=max(0, count - len(each)))
    chosen = (each if len(each) <= count else dice.sample(each, count)) + more
    dice.shuffle(chosen)
    return iter(chosen)


def _free(
    kind: Kind, at: float, busy: dict[str, float], dice: random.Random, without: Collection[Kind]
) -> tuple[Kind, str]:
    """The kind with a target that is up at that time, or another kind that has one."""
    others = [one for one in Kind if one is not kind and one not in without]
    for candidate in (kind, *dice.sample(others, len(others))):
        targets = list(_MENU[candidate][0])
        dice.shuffle(targets)
        for target in targets:
            if all(busy.get(part, 0.0) <= at for part in _needed(candidate, target)):
                return candidate, target
    return Kind.FLUSH_BROKER, BROKER


def _fault(
    number: int,
    at: float,
    what: tuple[Kind, str],
    busy: dict[str, float],
    dice: random.Random,
) -> Fault:
    kind, target = what
    shortest, longest = _MENU[kind][1]
    seconds = round(dice.uniform(shortest, longest), 1)
    until = at + seconds + (_RECOVERY if kind.name.startswith("KILL") else 2.0)
    if kind is not Kind.KILL_CHILD:
        busy |= dict.fromkeys(_broken(kind, target), until)
    return Fault(number=number, at=round(at, 2), kind=kind, target=target, seconds=seconds)


def _needed(kind: Kind, target: str) -> Sequence[str]:
    """What must be up for the fault to land: a link needs the process and the server."""
    return BEATS if kind is Kind.NO_BEAT else target.split(">")


def _broken(kind: Kind, target: str) -> Sequence[str]:
    """What is down while the fault lasts: of a link, the process only."""
    return _needed(kind, target)[:1] if ">" in target else _needed(kind, target)
