"""The simulation's invariants can fail: each rule that is left out is found."""

from __future__ import annotations

import datetime as dt

from collections.abc import Sequence

import pytest

from cascade.domain.state import AttemptState
from cascade.storage.charges import Charge
from cascade.storage.settle import Unclear, Unsent
from cascade.testing import CALM, Faults, Simulation
from cascade.testing.memory.advancing import Advancing
from cascade.testing.memory.calling import Calling
from cascade.testing.memory.sweeping import Sweeping
from tests.testing.test_simulation import CONFIG, REACH


SILENT = Faults(unanswered=0.3)
STALLING = Faults(stall=0.2, refused=0.5)


def resent(self: Calling, unclear: Sequence[Unclear], grace: dt.timedelta) -> None:
    """Ambiguous calls are made again."""
    for one in unclear:
        again = Unsent(attempt_id=one.attempt_id, tries=one.tries, code=one.code, pause=1)
        self.settle_unsent([again])


def unfenced(self: Calling, unsent: Sequence[Unsent]) -> int:
    """Whoever comes late takes back what was heard meanwhile."""
    for one in unsent:
        row = self.tables.attempts[one.attempt_id]
        if row.ended_at is None:
            again_at = self.now() + dt.timedelta(seconds=one.pause)
            self.tables.put_attempt(row._replace(state=AttemptState.RETRY, due_at=again_at))
    return len(unsent)


def unswept(*_: object, **__: object) -> dict[int, object]:
    """Nothing ever expires."""
    return {}


def unbooked(self: Advancing, charges: Sequence[Charge]) -> None:
    """What was delivered is free."""


@pytest.mark.parametrize(
    ("part", "operation", "sabotage", "faults", "invariant"),
    [
        (Calling, "settle_unclear", resent, SILENT, "second_sends"),
        (Calling, "settle_unsent", unfenced, STALLING, "backward"),
        (Sweeping, "expired", unswept, SILENT, "stuck"),
        (Advancing, "book", unbooked, CALM, "not_charged"),
    ],
    ids=["resent", "unfenced", "unswept", "unbooked"],
)
def test_a_rule_that_is_left_out_is_found(  # a table's columns
    monkeypatch: pytest.MonkeyPatch,
    part: type,
    operation: str,
    sabotage: object,
    faults: Faults,
    invariant: str,
) -> None:
    monkeypatch.setattr(part, operation, sabotage)
    simulation = Simulation(CONFIG, seed=1, faults=faults)
    simulation.people(REACH)
    simulation.campaign(60, policy="code")  # its deadline is near
    simulation.campaign(150, policy="patient", first=60)
    outcome = simulation.run(15 * 60)
    if sabotage is not unswept:  # which has no end
        outcome = simulation.run()
    assert invariant in outcome.broken
