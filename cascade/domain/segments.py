"""How many SMS a text takes: what an SMS provider bills.

A text of the GSM 7-bit alphabet (3GPP TS 23.038) has 160 septets in one SMS and 153 in each part
of several; any other text goes as UCS-2 with 70 and 67 code units. A character of two septets or
two code units is never split over two parts, which costs the part before it its last place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")  # an escape and a character: two septets
_GSM = _BASIC | _EXTENSION

_GSM_SINGLE, _GSM_PART = 160, 153  # septets
_UCS2_SINGLE, _UCS2_PART = 70, 67  # code units

_LAST_BEFORE_PAIRS = "\uffff"  # characters beyond it take a surrogate pair


def segments(text: str) -> int:
    """The number of SMS that carry `text`; an empty text takes one.

    Raises ValueError for a lone surrogate, which no encoding can carry.
    """
    if _GSM.issuperset(text):
        return _parts([_septets(letter) for letter in text], single=_GSM_SINGLE, part=_GSM_PART)
    _refuse_lone_surrogates(text)
    return _parts([_code_units(letter) for letter in text], single=_UCS2_SINGLE, part=_UCS2_PART)


def _septets(letter: str) -> int:
    return 2 if letter in _EXTENSION else 1


def _code_units(letter: str) -> int:
    return 2 if letter > _LAST_BEFORE_PAIRS else 1


def _parts(widths: Sequence[int], *, single: int, part: int) -> int:
    return 1 if sum(widths) <= single else _filled(widths, size=part)


def _filled(widths: Iterable[int], *, size: int) -> int:
    count, room = 1, size
    for width in widths:
        if width > room:
            count, room = count + 1, size
        room -= width
    return count


def _refuse_lone_surrogates(text: str) -> None:
    for place, letter in enumerate(text):
        if "\ud800" <= letter <= "\udfff":
            message = f"character {place} of the text is half of a surrogate pair: send it whole"
            raise ValueError(message)
