from __future__ import annotations

import re

from collections.abc import Iterator
from functools import cache

import pytest

from hypothesis import given, settings, strategies as st
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    PhoneMetadata,
    PhoneNumberFormat,
    PhoneNumberType,
    example_number_for_type,
    format_number,
)

from cascade.domain.mobile import is_plain_mobile
from cascade.domain.phone import PhoneError, judged


CODES = sorted(COUNTRY_CODE_TO_REGION_CODE)
KINDS = [
    "mobile",
    "fixed_line",
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
]


def said_of(raw: str) -> str | None:
    """What the library makes of it; None where it is refused."""
    try:
        return judged(raw, "RU")
    except PhoneError:
        return None


@cache
def kinds(code: int) -> list[str]:
    """Patterns of all kinds of numbers that the code's regions have."""
    plans = [
        PhoneMetadata.metadata_for_region_or_calling_code(code, region)
        for region in COUNTRY_CODE_TO_REGION_CODE[code]
    ]
    found = [getattr(plan, name) for plan in plans for name in KINDS]
    return [kind.national_number_pattern for kind in found if kind is not None]


@cache
def numbers_of(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)


@st.composite
def written(draw: st.DrawFn) -> str:
    """Numbers that some country has, or nearly has, with and without its national prefix."""
    code = draw(st.sampled_from(CODES))
    number = draw(numbers_of(draw(st.sampled_from(kinds(code)))))
    prefix = draw(st.sampled_from(["", "", "0", "1", "8"]))
    return f"+{code}{prefix}{number}"


@settings(max_examples=100, deadline=None)  # the machine may be busy
@given(written())
def test_the_library_takes_what_is_plainly_mobile_and_leaves_it_as_it_is(raw: str):
    if is_plain_mobile(raw):
        assert said_of(raw) == raw


def russian_numbers() -> Iterator[str]:
    """By every beginning of three digits, and where the plan goes deeper by every one of six."""
    for beginning in range(1000):
        for rest in ("0000000", "1234567", "9999999"):
            yield f"+7{beginning:03}{rest}"
    for beginning in range(930000, 930100):
        yield from (f"+7{beginning}{rest:04}" for rest in range(0, 10000, 999))


def test_of_russian_numbers_it_knows_exactly_the_mobile_ones():
    for raw in russian_numbers():
        is_mobile = raw.startswith("+79") and said_of(raw) == raw
        assert is_plain_mobile(raw) == is_mobile, raw


def test_the_mobile_numbers_of_nearly_all_countries_are_known():
    unknown = {
        region
        for regions in COUNTRY_CODE_TO_REGION_CODE.values()
        for region in regions[:1]
        if (number := example_number_for_type(region, PhoneNumberType.MOBILE)) is not None
        and not is_plain_mobile(format_number(number, PhoneNumberFormat.E164))
    }

    # What may be a national prefix there may be a part of the number as well.
    assert unknown == {"AR", "CI", "BJ", "GA", "CG"}


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "+",
        "+7",
        "79161234567",
        "+7 916 123-45-67",
        "+79161234567\n",
        "+7916123456",
        "+791612345678",
        "+74951234567",
        "+78005553535",
        "+7916١234567",
        "++79161234567",
        "tel:+79161234567",
        "+9991234567",
    ],
)
def test_what_is_not_plain_is_left_to_the_library(raw: str):
    assert not is_plain_mobile(raw)
