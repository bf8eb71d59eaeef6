"""Phone numbers: what people type, as E.164, refused where no channel could ever deliver."""

from __future__ import annotations

from phonenumbers import (
    NumberParseException,
    PhoneNumberFormat,
    PhoneNumberType,
    format_number,
    is_valid_number,
    number_type,
    parse,
)

from cascade.domain.errors import InvalidInputError
from cascade.domain.mobile import is_plain_mobile


_MOBILE = "give the person's mobile number"
_INTERNATIONAL = "write it in full, as +79161234567 is written"

_SERVICE_TYPES = frozenset(
    {
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.PAGER,
        PhoneNumberType.UAN,
        PhoneNumberType.VOICEMAIL,
    }
)


class PhoneError(InvalidInputError):
    """No message can go to this number. The text names the problem and the cure, not the number."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__("to", problem, cure)


def normalise(raw: str, *, region: str = "RU") -> str:
    """`raw` as E.164 (`+79161234567`); numbers without a country code are `region`'s.

    Raises PhoneError for what is no valid number, and for numbers that are never mobile. Where a
    numbering plan does not tell fixed lines from mobile phones (+1), the number passes.
    """
    return raw if is_plain_mobile(raw) else judged(raw, region)


def judged(raw: str, region: str) -> str:
    """What `normalise` says, by the whole of libphonenumber: some fifty times as slow."""
    try:
        number = parse(raw, region)
    except NumberParseException:
        # `from None`: a traceback must not carry the number.
        raise PhoneError("this is not a phone number", _INTERNATIONAL) from None
    if number.extension:
        raise PhoneError("an extension has no messenger and no SMS", _MOBILE)
    if not is_valid_number(number):
        raise PhoneError("no operator has such numbers", _INTERNATIONAL)
    _refuse_by_type(number_type(number))
    return format_number(number, PhoneNumberFormat.E164)


def masked(phone: str) -> str:
    """An E.164 number for people's eyes (`+7916***4567`); at least three digits are hidden."""
    shown = (5, 4) if len(phone) >= len("+79161234567") else (2, 2)
    return f"{phone[: shown[0]]}***{phone[-shown[1] :]}"


def _refuse_by_type(kind: int) -> None:
    if kind == PhoneNumberType.FIXED_LINE:
        raise PhoneError("a fixed line has no messenger and no SMS", _MOBILE)
    if kind in _SERVICE_TYPES:
        raise PhoneError("a service number has no messenger and no SMS", _MOBILE)
