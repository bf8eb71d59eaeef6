"""`python -m cascade.testing`: simulations of the whole service under faults, and its invariants.

Exit status 1 if an invariant does not hold.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time

from collections.abc import Sequence
from pathlib import Path

from cascade.testing.faults import CALM, STORM
from cascade.testing.judge import INVARIANTS
from cascade.testing.outcome import Outcome, together
from cascade.testing.worlds import Life, World, digest_of, divided, lived, prepare


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the worlds of a simulation and tells what came of them."""
    given = _arguments(arguments)
    began = time.perf_counter()
    worlds = divided(_whole(given))
    lives: list[Life] = []
    for life in lived(worlds, processes=given.processes):
        lives.append(life)
        _say(f"{len(lives)}/{len(worlds)} {_line(life)}")
    elapsed = time.perf_counter() - began
    outcome = together([life.outcome for life in lives])
    _say(_told(outcome))
    for life in lives:
        if life.outcome.broken:
            _say(_broken(life))
    _say(_pace(lives, outcome, elapsed))
    sys.exit(bool(outcome.broken))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cascade.testing", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", default="default")
    parser.add_argument("--config", type=Path, default=Path("config"), help="of the policies")
    parser.add_argument("--calm", action="store_true", help="without faults")
    parser.add_argument(
        "--trace", type=Path, help="a directory, for a file of each world's events"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


def _whole(given: argparse.Namespace) -> World:
    return World(
        seed=given.seed,
        messages=given.messages,
        policy=given.policy,
        config=given.config,
        faults=CALM if given.calm else STORM,
        trace=given.trace,
    )


def _line(life: Life) -> str:
    """One world, while others are still lived."""
    outcome = life.outcome
    days = outcome.simulated.total_seconds() / 86_400
    return (
        f"world {life.world.seed}: {outcome.messages} messages in {days:.1f} simulated days, "
        f"{life.seconds:.1f} CPU seconds, {'BROKEN' if outcome.broken else 'sound'}"
    )


def _told(outcome: Outcome) -> str:
    faults = ", ".join(f"{name} {count}" for name, count in outcome.faults.items())
    lines = [
        str(outcome),
        f"faults {sum(outcome.faults.values())}: {faults}",
        *(
            f"{name:<22}{outcome.broken.get(name, 0):>6}  {meaning}"
            for name, meaning in INVARIANTS.items()
        ),
    ]
    return "\n".join(lines)


def _broken(life: Life) -> str:
    """What did not hold in a world, and how to run that one alone."""
    world = life.world
    words = ["--messages", str(world.messages), "--seed", str(world.seed)]
    words += ["--policy", world.policy, "--config", str(world.config)]
    words += ["--calm"] if world.faults == CALM else []
    alone = f"python -m cascade.testing {shlex.join(words)} --trace traces"
    return "\n".join([f"in world {world.seed} ({alone}):", *life.outcome.findings])


def _pace(lives: Sequence[Life], outcome: Outcome, elapsed: float) -> str:
    days = outcome.simulated.total_seconds() / 86_400
    used = sum(life.seconds for life in lives)
    return (
        f"{days:.1f} simulated days in {elapsed:.1f} s, {used:.1f} CPU seconds\n"
        f"{outcome.messages / elapsed:.0f} messages/s\n"
        f"trace {digest_of(lives)}"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    prepare()
    main()
