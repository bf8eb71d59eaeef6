"""Step lists of the machine that once found a mistake, in the product or planted: kept for both worlds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cascade.domain.state import AttemptState, Channel, Success
from tests.rules.machine import Messages
from tests.rules.on_postgresql import OnPostgreSQL
from tests.rules.on_the_engine import OnTheEngine
from tests.rules.world import World, a_policy


pytestmark = pytest.mark.integration

DELIVERED, READ, SENT = AttemptState.DELIVERED, AttemptState.READ, AttemptState.SENT


@pytest.fixture(params=["engine", "postgresql"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "engine":
        yield OnTheEngine()
        return
    for_real: OnPostgreSQL = request.getfixturevalue("for_real")
    with for_real.mortal():
        yield for_real


@pytest.fixture
def messages(world: World) -> Iterator[Messages]:
    """One message by VK and SMS; in the end, ticks alone must end it."""
    both = a_policy(
        (Channel.VK, 60, Success.READ, None), (Channel.SMS, 60, Success.DELIVERED, None)
    )
    found = Messages(world)
    found.starts(both, 3600.0, None)
    yield found
    found.the_laws_hold()
    found.teardown()


@pytest.mark.parametrize("told", [SENT, DELIVERED])
def test_nobody_falls_back_while_a_late_call_of_a_dead_process_may_be_delivered(
    messages: Messages, told: AttemptState
) -> None:
    messages.its_process_dies_in_the_middle_of_a_late_call("a", told)
    messages.the_laws_hold()
    messages.the_next_due_time_comes(0.01)
    messages.the_laws_hold()


def test_a_call_that_comes_back_unsent_after_its_lease_is_not_made_again(
    messages: Messages,
) -> None:
    messages.its_lease_is_over_before_the_answer("a", "throttled")
    messages.the_laws_hold()
    messages.is_settled(0)
    messages.the_laws_hold()
    messages.time_passes(10.0)
    messages.ticks_come(1)
    messages.is_called("a", "taken", 0.0, at_once=True)


def test_a_call_that_comes_back_unsent_after_its_receipt_is_not_made_again(
    messages: Messages,
) -> None:
    messages.is_called("a", "throttled", 0.0, at_once=False)
    messages.the_newest_attempt_is_spoken_of("a", SENT)
    messages.is_settled(0)
    messages.the_laws_hold()
    messages.time_passes(10.0)
    messages.ticks_come(1)
    messages.is_called("a", "taken", 0.0, at_once=True)


def test_a_delivery_after_the_window_only_charges(messages: Messages) -> None:
    for _ in range(2):
        messages.is_called("a", "rejected", 0.0, at_once=True)
    messages.the_laws_hold()
    messages.a_receipt_comes_days_after_the_end("a", 73.0, DELIVERED)
    messages.the_laws_hold()


def test_a_delivery_that_is_read_is_charged_once(messages: Messages) -> None:
    messages.is_called("a", "taken", 0.0, at_once=True)
    for status in (DELIVERED, READ, DELIVERED):
        messages.the_newest_attempt_is_spoken_of("a", status)
        messages.the_laws_hold()


def test_a_fallback_while_the_first_channel_speaks_again_leaves_one_open_step(
    messages: Messages,
) -> None:
    messages.is_called("a", "taken", 0.0, at_once=True)
    messages.the_next_due_time_comes(0.01)
    messages.a_receipt_comes("a", 0, DELIVERED, anew=True)
    messages.the_inbox_is_drained()
    messages.the_laws_hold()
    messages.the_next_due_time_comes(0.01)
    messages.the_laws_hold()
