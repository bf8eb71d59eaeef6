"""How many SMS a text takes: what an SMS provider bills.

A text of the GSM 7-bit alphabet (3GPP TS 23.038) has 160 septets in one SMS and 153 in each part
of several; any other text goes as UCS-2 with 70 and 67 code units. A character of two septets or
two code units is never split over two parts, which costs the part before it its last place.
"""

from __future__ import annotations

import math
import re

from collections.abc import Iterable


_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = "\f^{}\\[~]|€"  # an escape and a character: two septets

# Expressions, since they look at a text's characters without making an object of each.
_EXTENDED = re.compile(f"[{re.escape(_EXTENSION)}]")
_NOT_GSM = re.compile(f"[^{re.escape(_BASIC + _EXTENSION)}]")

_GSM_SINGLE, _GSM_PART = 160, 153  # septets
_UCS2_SINGLE, _UCS2_PART = 70, 67  # code units

_LAST_BEFORE_PAIRS = "\uffff"  # characters beyond it take a surrogate pair


def segments(text: str) -> int:
    """The number of SMS that carry `text`; an empty text takes one.

    Raises ValueError for a lone surrogate, which no encoding can carry.
    """
    if _NOT_GSM.search(text) is None:
        pairs = len(_EXTENDED.findall(text))
        single, part, width_of = _GSM_SINGLE, _GSM_PART, _septets
    else:
        pairs = _code_units_of(text) - len(text)
        single, part, width_of = _UCS2_SINGLE, _UCS2_PART, _code_units
    if len(text) + pairs <= single:
        return 1
    return _filled(map(width_of, text), size=part) if pairs else math.ceil(len(text) / part)


def _septets(letter: str) -> int:
    return 2 if letter in _EXTENSION else 1


def _code_units(letter: str) -> int:
    return 2 if letter > _LAST_BEFORE_PAIRS else 1


def _filled(widths: Iterable[int], *, size: int) -> int:
    count, room = 1, size
    for width in widths:
        if width > room:
            count, room = count + 1, size
        room -= width
    return count


def _code_units_of(text: str) -> int:
    try:
        return len(text.encode("utf-16-le")) // 2
    except UnicodeEncodeError as error:
        message = f"character {error.start} of the text is half of a surrogate pair: send it whole"
        raise ValueError(message) from None
