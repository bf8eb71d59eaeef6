"""A large simulation as independent worlds, each a whole one of its own, lived in several processes.

What a world is depends on nothing but its values: the trace of all is the same, whatever the number
of processes.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import logging
import time
import zlib

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from cascade.testing.faults import STORM, Faults
from cascade.testing.outcome import Outcome
from cascade.testing.people import Reach
from cascade.testing.simulation import Simulation


WORLD = 12_500  # messages at most
CAMPAIGN = 5000  # messages
APART = 3600.0  # seconds between two campaigns
REACH = {"vk": 0.55, "ok": 0.3, "viber": 0.45, "whatsapp": 0.6, "sms": 0.97}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Campaigns of imagined people, one after another, over simulated days."""

    seed: int
    messages: int
    policy: str = "default"
    config: Path = Path("config")
    faults: Faults = STORM
    trace: Path | None = None  # a directory, for a file `<seed>.txt` with every event


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What became of a world; `seconds` of CPU, `digest` of its trace."""

    world: World
    outcome: Outcome
    digest: str
    seconds: float


def divided(whole: World) -> list[World]:
    """The worlds that a run of so many messages consists of; one, if it is no larger than that.

    The first has the run's own seed, the others have seeds drawn from it: each can be run alone.
    """
    return [
        replace(
            whole,
            seed=zlib.crc32(f"{whole.seed} {place}".encode()) if place else whole.seed,
            messages=min(WORLD, whole.messages - first),
        )
        for place, first in enumerate(range(0, whole.messages, WORLD))
    ]


def lived(worlds: Sequence[World], *, processes: int) -> Iterator[Life]:
    """Lives them, so many at a time; in the order of the worlds."""
    if processes == 1 or len(worlds) == 1:
        yield from map(live, worlds)
        return
    # A process that is forked would carry what its parent has under way; one that is spawned is
    # the same on every platform.
    with ProcessPoolExecutor(
        min(processes, len(worlds)), mp_context=get_context("spawn"), initializer=prepare
    ) as pool:
        yield from pool.map(live, worlds)


def prepare() -> None:
    """Makes a process that does nothing else live worlds faster."""
    logging.disable(logging.CRITICAL)  # faults are the point here
    gc.freeze()
    gc.disable()  # rows are many, and no cycles: what is left of a world goes at its end


def live(world: World) -> Life:
    """From the first campaign until nothing is left to happen."""
    began = time.process_time()
    with ExitStack() as stack:
        simulation = _simulation(world, stack)
        outcome = simulation.run()
        digest = simulation.digest
    del simulation
    gc.collect()
    return Life(world=world, outcome=outcome, digest=digest, seconds=time.process_time() - began)


def digest_of(lives: Iterable[Life]) -> str:
    """Stands for all their traces, one after another."""
    digests = "".join(one.digest for one in lives)
    return hashlib.blake2b(digests.encode(), digest_size=16).hexdigest()


def _simulation(world: World, stack: ExitStack) -> Simulation:
    trace = None
    if world.trace is not None:
        world.trace.mkdir(parents=True, exist_ok=True)
        path = world.trace / f"{world.seed}.txt"
        trace = stack.enter_context(path.open("w", encoding="utf-8")).write
    simulation = Simulation(world.config, seed=world.seed, faults=world.faults, trace=trace)
    simulation.people(Reach(users=REACH, seed=world.seed))
    for place, first in enumerate(range(0, world.messages, CAMPAIGN)):
        count = min(CAMPAIGN, world.messages - first)
        send = functools.partial(simulation.campaign, count, first=first, policy=world.policy)
        simulation.later(place * APART, send)
    return simulation
