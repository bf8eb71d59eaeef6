from __future__ import annotations

import datetime as dt

import pytest

from hypothesis import given, strategies as st

from cascade.channels.native import instant, native_code


@pytest.mark.parametrize("code", ["UNSUPPORTED", "error-system", "vp_expired", "131026", "-3"])
def test_a_code_is_kept_as_it_is(code):
    assert native_code(code) == code


@pytest.mark.parametrize(
    "code", ["79161234567", "to 79161234567", "Ваш заказ", "no money left", "x" * 65, "a\nb"]
)
def test_what_might_be_a_phone_number_or_a_text_is_not_kept(code):
    assert native_code(code) == "unreadable"


@pytest.mark.parametrize(
    "value",
    [1763800000.5, "1763800000.5", "1763800000500", 1763800000500, "2025-11-22 08:26:40.500"],
    ids=["number", "digits", "ms digits", "ms number", "date"],
)
def test_a_moment_is_read_in_every_spelling(value):
    assert instant(value) == dt.datetime(2025, 11, 22, 8, 26, 40, 500_000, dt.UTC)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none()))
def test_no_moment_is_none_and_never_an_error(value):
    moment = instant(value)
    assert moment is None or moment.tzinfo is not None
