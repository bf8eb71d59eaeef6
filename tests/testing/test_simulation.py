from __future__ import annotations

import functools

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from cascade import InvalidInputError, MessageState, PolicyStep
from cascade.domain.state import Channel
from cascade.testing import (
    STORM,
    Faults,
    Outcome,
    Reach,
    Reaction,
    Simulation,
    delivered,
    refused,
    rejected,
    silent,
    throttled,
    unanswered,
    undeliverable,
    unsupported,
    vanished,
)


CONFIG = Path(__file__).parents[2] / "config"
PHONE = "+79161234567"
REACH = Reach(users={"vk": 0.5, "ok": 0.3, "viber": 0.5, "whatsapp": 0.6, "sms": 0.95})

POLICIES = {
    "default": [PolicyStep(channel="vk", ttl="15s"), PolicyStep(channel="sms", ttl="60s")],
    "read": [
        PolicyStep(channel="vk", ttl="60s", success="read"),
        PolicyStep(channel="sms", ttl="60s"),
    ],
}


@pytest.fixture
def simulation() -> Simulation:
    return Simulation(POLICIES, prices={"vk": "0.30", "sms": "2.00"})


def test_the_first_channel_that_delivers_is_the_last_that_is_called(
    simulation: Simulation,
) -> None:
    message = simulation.send(PHONE, "Собран")
    simulation.run().assert_sound()
    message.assert_delivered_by("vk", within=5)
    message.assert_called("vk")
    message.assert_cost("0.30")


@pytest.mark.parametrize(
    ("reaction", "within"),
    [
        (unsupported(), 10),
        (unsupported(after=3), 15),
        (undeliverable(), 10),
        (undeliverable(after=3), 15),
        (rejected(), 10),
        (silent(), 30),
        (vanished(), 40),
        (unanswered(), 40),
        (delivered(after=600), 30),
    ],
    ids=str,
)
def test_the_next_channel_follows(
    simulation: Simulation, reaction: Reaction, within: float
) -> None:
    simulation.react("vk", reaction)
    message = simulation.send(PHONE, "Собран")
    simulation.run().assert_sound()
    message.assert_delivered_by("sms", within=within)
    message.assert_called("vk", "sms")
    message.assert_cost("2.00")


@pytest.mark.parametrize(
    "reaction",
    [
        throttled(2, then=delivered(1)),
        throttled(retry_after=4, then=delivered(1)),
        refused(2, then=delivered(1)),
        unanswered(delivered(1)),
    ],
    ids=str,
)
def test_a_channel_is_given_its_time(simulation: Simulation, reaction: Reaction) -> None:
    simulation.react("vk", reaction)
    message = simulation.send(PHONE, "Собран")
    simulation.run().assert_sound()
    message.assert_delivered_by("vk")
    message.assert_called("vk")


def test_a_reaction_for_one_phone_is_nobody_elses(simulation: Simulation) -> None:
    simulation.react("vk", unsupported(), to=PHONE)
    one, other = simulation.send(PHONE, "Собран"), simulation.send("+79160000001", "Собран")
    simulation.run()
    one.assert_delivered_by("sms")
    other.assert_delivered_by("vk")


def test_what_is_delivered_and_not_read_is_followed_by_the_next_step_and_both_are_charged(
    simulation: Simulation,
) -> None:
    message = simulation.send(PHONE, "Собран", policy="read")
    outcome = simulation.run()
    message.assert_called("vk", "sms")
    message.assert_cost("2.30")
    assert outcome.overlaps == 1


def test_nobody_is_reached_where_no_channel_delivers(simulation: Simulation) -> None:
    for channel in ("vk", "sms"):
        simulation.react(channel, unsupported())
    message = simulation.send(PHONE, "Собран")
    simulation.run().assert_sound()
    message.assert_undelivered()
    message.assert_cost("0")


def test_time_passes_as_far_as_it_is_let(simulation: Simulation) -> None:
    simulation.react("vk", silent())
    message = simulation.send(PHONE, "Собран")
    simulation.run(10)
    assert simulation.clock.monotonic() == 10
    message.assert_called("vk")
    assert message.delivered_by is None
    assert simulation.cancel(message)
    simulation.run()
    message.assert_called("vk")
    assert message.state is MessageState.CANCELLED


def test_a_message_is_checked_as_by_the_client(simulation: Simulation) -> None:
    with pytest.raises(InvalidInputError, match=r"^to: "):
        simulation.send("12345", "Собран")


def test_an_assertion_tells_the_messages_story(simulation: Simulation) -> None:
    simulation.react("vk", unsupported())
    message = simulation.send(PHONE, "Собран")
    simulation.run()
    with pytest.raises(
        AssertionError, match=r"not delivered by vk\n(.|\n)*vk: unsupported no-user"
    ):
        message.assert_delivered_by("vk")
    with pytest.raises(AssertionError, match="within 1 s"):
        message.assert_delivered_by("sms", within=1)


def a_storm(seed: int, messages: int, trace: Callable[[str], object] | None = None) -> Outcome:
    simulation = Simulation(CONFIG, seed=seed, faults=STORM, trace=trace)
    simulation.people(REACH)
    simulation.campaign(messages)
    return simulation.run()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_sent_twice_or_mischarged_on_a_bad_day(seed: int) -> None:
    outcome = a_storm(seed, 200)
    outcome.assert_sound()
    assert outcome.messages == 200


def test_each_fault_happens() -> None:
    names = {one.name for one in fields(Faults)}
    simulation = Simulation(POLICIES, faults=Faults(**dict.fromkeys(names, 0.08)))
    simulation.react("vk", unsupported())
    for first in range(100):  # each a hint of its own
        simulation.later(first, functools.partial(simulation.campaign, 1, first=first))
    outcome = simulation.run()
    outcome.assert_sound()
    assert outcome.faults.keys() == names


@pytest.mark.parametrize("seed", range(3))
def test_messages_end_in_time_though_processes_stand_still_at_every_third_step(seed: int) -> None:
    simulation = Simulation(CONFIG, seed=seed, faults=Faults(stall=0.3))
    simulation.people(REACH)
    simulation.campaign(50, policy="code")  # its deadline is near
    simulation.run(15 * 60).assert_sound()


def test_one_seed_is_one_trace() -> None:
    traces: list[list[str]] = [[], [], []]
    for seed, trace in zip((1, 1, 2), traces, strict=True):
        a_storm(seed, 40, trace.append)
    first, again, other = ("".join(trace) for trace in traces)
    assert first == again != other


def test_what_a_provider_forgets_to_tell_is_unheard_and_no_breach() -> None:
    simulation = Simulation(
        {"default": [PolicyStep(channel="vk", ttl="15s")]}, faults=Faults(lost_webhook=0.99)
    )
    simulation.campaign(20)
    outcome = simulation.run()
    outcome.assert_sound()
    assert outcome.reached < 0.5


def test_people_are_the_same_at_every_look() -> None:
    assert [REACH(PHONE, Channel.VK) for _ in range(3)] == [REACH(PHONE, Channel.VK)] * 3


def test_a_fault_is_a_probability() -> None:
    with pytest.raises(ValueError, match="death"):
        Faults(death=1.5)
