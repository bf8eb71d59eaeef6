"""Mobile numbers that are written as `+<country code><digits>`, known at a glance.

One pattern for each country code, made of libphonenumber's own metadata: what it takes, the
library takes as well, as the very same number. What it does not take is for the library to judge.
"""

from __future__ import annotations

import re

from collections.abc import Iterable
from functools import cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc


_CODES = frozenset(map(str, COUNTRY_CODE_TO_REGION_CODE))
_LONGEST_CODE = 3  # digits; no code is the beginning of another
_NOTHING = "(?!)"


def is_plain_mobile(raw: str) -> bool:
    """Whether `raw` is E.164 and a mobile phone's number; of what is not plain it says False."""
    for end in range(2, 2 + _LONGEST_CODE):
        if raw[1:end] in _CODES:
            return _pattern(raw[1:end]).fullmatch(raw) is not None
    return False


@cache  # there are some 220 codes
def _pattern(code: str) -> re.Pattern[str]:
    """The mobile numbers of the code's main region, which the library tries first.

    Left out are those from which it would strip something, and those that it might hold for a
    service before it sees that they are mobile.
    """
    region = COUNTRY_CODE_TO_REGION_CODE[int(code)][0]
    plan = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    assert plan is not None  # noqa: S101  # the code is one of the library's
    services = (
        plan.premium_rate,
        plan.toll_free,
        plan.shared_cost,
        plan.pager,
        plan.uan,
        plan.voicemail,
    )
    stripped = ("0", plan.national_prefix_for_parsing or _NOTHING)
    left_out = _any([*stripped, *map(_numbers_of, services)])
    of_region = f"(?={plan.leading_digits or ''})"
    mobile = f"(?={_numbers_of(plan.general_desc)}){_numbers_of(plan.mobile)}"
    return re.compile(rf"\+{code}(?!{left_out}){of_region}{mobile}", re.ASCII)


def _numbers_of(kind: PhoneNumberDesc | None) -> str:
    """The whole numbers of that kind: of these lengths, and like this."""
    if kind is None or kind.national_number_pattern is None:
        return _NOTHING
    lengths = _any(rf"\d{{{length}}}\Z" for length in kind.possible_length)
    return rf"(?={lengths})(?:{kind.national_number_pattern})\Z"


def _any(patterns: Iterable[str]) -> str:
    return f"(?:{'|'.join(patterns)})"
