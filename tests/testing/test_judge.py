"""The simulation's invariants can fail: each rule that is left out is found, in a situation that is
certain to need it.
"""

from __future__ import annotations

import datetime as dt

from collections.abc import Callable, Sequence

import pytest

from cascade import PolicyStep
from cascade.channels.exchange import Exchange
from cascade.domain.state import AttemptState
from cascade.services.deployment import LEASE
from cascade.storage.charges import Charge
from cascade.storage.settle import Unclear, Unsent
from cascade.testing import Reaction, Simulation, delivered, refused, silent, unanswered
from cascade.testing.calls import ScriptedTransport
from cascade.testing.clock import START
from cascade.testing.memory.advancing import Advancing
from cascade.testing.memory.calling import Calling
from cascade.testing.memory.sweeping import Sweeping


PHONE = "+79161234567"
POLICIES = {"default": [PolicyStep(channel="vk", ttl="60s"), PolicyStep(channel="sms", ttl="60s")]}

Sabotage = Callable[[pytest.MonkeyPatch], None]


def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule holds."""


def resent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ambiguous calls are made again."""

    def settle_unclear(self: Calling, unclear: Sequence[Unclear], grace: dt.timedelta) -> None:
        for one in unclear:
            again = Unsent(attempt_id=one.attempt_id, tries=one.tries, code=one.code, pause=1)
            self.settle_unsent([again])

    monkeypatch.setattr(Calling, "settle_unclear", settle_unclear)


def standing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker stands still beyond its lease before it hears what became of its calls."""
    collect = ScriptedTransport.collect

    def late(self: ScriptedTransport[object], wait: float) -> list[Exchange[object]]:
        self._scheduler.wait(2 * LEASE)
        return collect(self, wait)

    monkeypatch.setattr(ScriptedTransport, "collect", late)


def unfenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes late takes back what was decided meanwhile."""

    def settle_unsent(self: Calling, unsent: Sequence[Unsent]) -> int:
        for one in unsent:
            row = self.tables.attempts[one.attempt_id]
            again_at = self.now() + dt.timedelta(seconds=one.pause)
            self.tables.put_attempt(row._replace(state=AttemptState.RETRY, due_at=again_at))
        return len(unsent)

    standing(monkeypatch)
    monkeypatch.setattr(Calling, "settle_unsent", settle_unsent)


def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ever expires."""
    monkeypatch.setattr(Sweeping, "expired", lambda *_, **__: {})


def unbooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was delivered is free."""

    def book(self: Advancing, charges: Sequence[Charge]) -> None: ...

    monkeypatch.setattr(Advancing, "book", book)


@pytest.mark.parametrize(
    ("sabotage", "reaction", "broken"),
    [
        (nothing, unanswered(), set()),
        (resent, unanswered(), {"second_sends"}),
        (standing, refused(), set()),
        (unfenced, refused(), {"backward"}),
        (nothing, silent(), set()),
        (unswept, silent(), {"stuck"}),
        (nothing, delivered(), set()),
        (unbooked, delivered(), {"not_charged"}),
    ],
)
def test_a_rule_that_is_left_out_is_found(
    monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage, reaction: Reaction, broken: set[str]
) -> None:
    sabotage(monkeypatch)
    simulation = Simulation(POLICIES, prices={"vk": "0.30", "sms": "2.00"})
    simulation.react("vk", reaction)
    simulation.send(PHONE, "Собран", deadline=START + dt.timedelta(minutes=5))
    outcome = simulation.run(15 * 60)
    if sabotage is not unswept:  # which has no end
        outcome = simulation.run()
    assert set(outcome.broken) == broken
