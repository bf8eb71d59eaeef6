from __future__ import annotations

import pytest

from hypothesis import given, settings, strategies as st

from cascade.domain.phone import PhoneError, masked, normalise


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("8 (916) 123-45-67", "+79161234567"),
        ("+7 916 123 45 67", "+79161234567"),
        ("9161234567", "+79161234567"),
        ("+77011234567", "+77011234567"),  # Kazakhstan shares the country code
        ("+375 29 123-45-67", "+375291234567"),
        ("+1 202 555 0123", "+12025550123"),  # +1 does not tell fixed lines from mobile phones
    ],
)
def test_what_people_type_becomes_e164(typed: str, stored: str) -> None:
    assert normalise(typed) == stored


def test_a_number_without_country_code_belongs_to_the_region() -> None:
    assert normalise("8 029 123 45 67", region="BY") == "+375291234567"


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("", "not a phone number"),
        ("no digits at all", "not a phone number"),
        ("+7916123456", "no operator has such numbers"),
        ("+7 600 123 45 67", "no operator has such numbers"),
        ("+7 495 123 45 67", "a fixed line has no messenger and no SMS"),
        ("+7 840 123 45 67", "a fixed line has no messenger and no SMS"),
        ("+7 717 212 34 56", "a fixed line has no messenger and no SMS"),
        ("8 800 555 35 35", "a service number has no messenger and no SMS"),
        ("+7 916 123-45-67 ext. 5", "an extension has no messenger and no SMS"),
    ],
)
def test_a_number_that_nothing_can_reach_is_refused(typed: str, problem: str) -> None:
    with pytest.raises(PhoneError, match=problem):
        normalise(typed)


@pytest.mark.parametrize(
    "typed", ["+74955550199", "+76005550199", "+791655501991234", "+9995550199"]
)
def test_a_refusal_names_a_cure_and_never_the_number(typed: str) -> None:
    with pytest.raises(PhoneError) as refusal:
        normalise(typed)
    assert refusal.value.field == "to"
    assert refusal.value.cure
    assert not any(
        part in f"{refusal.value!r} {refusal.value.__cause__!r}" for part in (typed, typed[-7:])
    )
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_a_normalised_number_stays_as_it_is() -> None:
    assert normalise(normalise("8 916 123 45 67"), region="US") == "+79161234567"


def test_a_masked_number_keeps_operator_and_last_digits() -> None:
    assert masked("+79161234567") == "+7916***4567"


@settings(deadline=None)  # the machine may be busy
@given(st.integers(10**6, 10**15 - 1).map("+{}".format))
def test_a_masked_number_hides_at_least_three_digits(phone: str) -> None:
    assert len(masked(phone).replace("***", "")) <= len(phone) - 3
