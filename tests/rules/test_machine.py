"""The whole machine against the reference: every rule in any order, on the engine and for real.

`CASCADE_RULES=1000` looks through so many examples on PostgreSQL, and as many times ten on the engine.
"""

from __future__ import annotations

import os

import pytest

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.rules.machine import Messages
from tests.rules.on_postgresql import OnPostgreSQL
from tests.rules.on_the_engine import OnTheEngine
from tests.rules.world import World


pytestmark = pytest.mark.timeout(3600)  # a failure is worth its shrinking

EXAMPLES = int(os.environ.get("CASCADE_RULES", "6"))


def thorough(examples: int) -> settings:
    return settings(
        deadline=None,
        max_examples=examples,
        stateful_step_count=25,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def run(world: World, examples: int) -> None:
    class InThisWorld(Messages):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(InThisWorld, settings=thorough(examples))


def test_on_the_engine_every_law_holds_after_every_step() -> None:
    run(OnTheEngine(), EXAMPLES * 10)


@pytest.mark.integration
def test_on_postgresql_every_law_holds_after_every_step(for_real: OnPostgreSQL) -> None:
    with for_real.mortal():
        run(for_real, EXAMPLES)
