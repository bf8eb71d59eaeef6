"""`python -m cascade.testing`: a simulation of the whole service under faults, and its invariants.

Campaigns of imagined people, one after another, over simulated days. Exit status 1 if an invariant
does not hold.
"""

from __future__ import annotations

import argparse
import functools
import gc
import logging
import sys
import time

from pathlib import Path

from cascade.testing.faults import CALM, STORM
from cascade.testing.judge import INVARIANTS
from cascade.testing.outcome import Outcome
from cascade.testing.people import Reach
from cascade.testing.simulation import Simulation


CAMPAIGN = 2000  # messages
APART = 3600.0  # seconds between two campaigns
REACH = {"vk": 0.55, "ok": 0.3, "viber": 0.45, "whatsapp": 0.6, "sms": 0.97}


def main() -> None:
    """Runs one simulation and tells what came of it."""
    given = _arguments()
    logging.disable(logging.CRITICAL)  # faults are the point here
    gc.freeze()
    gc.disable()  # nothing here is a cycle, and rows are many
    began = time.process_time()
    simulation = _simulation(given)
    outcome = simulation.run()
    elapsed = time.process_time() - began
    _tell(outcome, elapsed, simulation.digest)
    sys.exit(bool(outcome.broken))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cascade.testing", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", default="default")
    parser.add_argument("--config", type=Path, default=Path("config"), help="of the policies")
    parser.add_argument("--calm", action="store_true", help="without faults")
    parser.add_argument("--trace", type=argparse.FileType("w"), help="where every event goes")
    return parser.parse_args()


def _simulation(given: argparse.Namespace) -> Simulation:
    simulation = Simulation(
        given.config,
        seed=given.seed,
        faults=CALM if given.calm else STORM,
        trace=None if given.trace is None else given.trace.write,
    )
    simulation.people(Reach(users=REACH, seed=given.seed))
    for place, first in enumerate(range(0, given.messages, CAMPAIGN)):
        count = min(CAMPAIGN, given.messages - first)
        send = functools.partial(simulation.campaign, count, first=first, policy=given.policy)
        simulation.later(place * APART, send)
    return simulation


def _tell(outcome: Outcome, elapsed: float, digest: str) -> None:
    lines = [
        str(outcome),
        f"faults {sum(outcome.faults.values())}: "
        + ", ".join(f"{name} {count}" for name, count in outcome.faults.items()),
        *(
            f"{name:<22}{outcome.broken.get(name, 0):>6}  {INVARIANTS[name]}"
            for name in INVARIANTS
        ),
        *outcome.findings,
        f"{outcome.simulated.total_seconds() / 86_400:.1f} simulated days in {elapsed:.1f} s",
        f"{outcome.messages / elapsed:.0f} messages/s on one core",
        f"trace {digest}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
