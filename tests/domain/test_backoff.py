from __future__ import annotations

import pytest

from hypothesis import given, settings, strategies as st

from cascade.domain.backoff import pause


tries = st.integers(0, 32_767)  # a smallint in the database
jitters = st.floats(0, 1)


@pytest.mark.parametrize(
    ("made", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60)]
)
def test_pauses_double_from_a_second_to_a_minute(made: int, longest: float) -> None:
    assert pause(made, retry_after=None, jitter=1) == longest


def test_jitter_spreads_a_crowd_over_the_second_half_of_the_pause() -> None:
    assert pause(4, retry_after=None, jitter=0) == 4
    assert pause(4, retry_after=None, jitter=0.5) == 6


def test_a_provider_that_names_a_longer_time_is_obeyed() -> None:
    assert pause(1, retry_after=300, jitter=1) == 300


def test_a_provider_that_names_a_shorter_time_does_not_hurry_us() -> None:
    assert pause(7, retry_after=2, jitter=0) == 30
    assert pause(1, retry_after=0, jitter=0) == 0.5


@settings(deadline=None)
@given(tries, jitters)
def test_the_pause_stays_within_its_bounds_for_any_number_of_tries(
    made: int, jitter: float
) -> None:
    assert 0.5 <= pause(made, retry_after=None, jitter=jitter) <= 60


@settings(deadline=None)
@given(tries, jitters, st.floats(0, 86_400))
def test_the_providers_own_time_is_never_undercut(
    made: int, jitter: float, retry_after: float
) -> None:
    assert pause(made, retry_after=retry_after, jitter=jitter) >= retry_after
