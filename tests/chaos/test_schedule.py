"""The schedule of a battery: repeatable, varied, and such that its faults can land."""

from __future__ import annotations

import pytest

from hypothesis import given, settings, strategies as st

from chaos.report import verdict
from chaos.sabotage.names import SABOTAGE
from chaos.sabotage.switches import SWITCHES
from chaos.schedule import FULL, QUICK, Fault, Kind, Size, draw


SEEDS = st.integers(min_value=0, max_value=10_000)


@settings(max_examples=10)
@given(SEEDS)
def test_the_same_seed_gives_the_same_faults(seed: int) -> None:
    assert draw(FULL, seed) == draw(FULL, seed)


def test_another_seed_gives_others() -> None:
    assert draw(QUICK, 1) != draw(QUICK, 2)


@pytest.mark.parametrize("size", [QUICK, FULL])
@settings(max_examples=10)
@given(seed=SEEDS)
def test_all_faults_happen_in_order_while_messages_come(size: Size, seed: int) -> None:
    faults = draw(size, seed)

    assert len(faults) == size.faults
    assert sorted(one.at for one in faults) == [one.at for one in faults]
    assert faults[0].at > 0
    assert faults[-1].at <= size.sending


def test_a_large_battery_has_every_kind_of_fault() -> None:
    assert {one.kind for one in draw(FULL, 1)} == set(Kind)


@given(SEEDS)
def test_what_cannot_be_broken_here_is_left_out(seed: int) -> None:
    assert Kind.CLOCK not in {one.kind for one in draw(QUICK, seed, without={Kind.CLOCK})}


@settings(max_examples=10)
@given(SEEDS)
def test_nothing_is_attacked_while_it_is_down(seed: int) -> None:
    down: dict[str, Fault] = {}
    for fault in draw(FULL, seed):
        for part in fault.target.split(">"):
            earlier = down.get(part)
            assert earlier is None or earlier.at + earlier.seconds <= fault.at, (earlier, fault)
        if fault.seconds:
            down[fault.target.partition(">")[0]] = fault


def test_every_sabotage_has_a_switch_and_every_switch_a_run() -> None:
    assert set(SABOTAGE) == set(SWITCHES)
    assert len(SABOTAGE) >= 12


def figures(**changed: int) -> dict[str, object]:
    counts = dict.fromkeys(
        ("lost", "stuck", "charged_twice", "not_charged", "sum_difference", "second_sends"), 0
    )
    return {**counts, "faults": 20, "faults_landed": 18, **changed}


def test_a_run_without_violations_whose_faults_landed_is_good() -> None:
    assert verdict(figures()) == []


def test_a_count_that_is_not_zero_is_named() -> None:
    assert verdict(figures(second_sends=2)) == ["second_sends is 2, and must be zero"]


def test_a_run_that_was_hardly_attacked_proves_nothing() -> None:
    assert verdict(figures(faults_landed=17)) == ["only 17 of 20 faults landed"]
