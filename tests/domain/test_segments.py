from __future__ import annotations

import pytest
import smsutil  # type: ignore[import-untyped]  # it has no types

from hypothesis import example, given, settings, strategies as st

from cascade.domain.segments import segments


GSM = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡AZÄÖÑÜ§¿azäöñüà"
EXTENSION = "\f^{}\\[~]|€"
UCS2 = "Привет, мир ç`"
PAIRS = "😀🇷🇺"

texts = st.one_of(
    st.text(GSM + EXTENSION, max_size=500),
    st.text(UCS2 + PAIRS, max_size=300),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.builds("{}{}".format, st.integers(140, 165).map("a".__mul__), st.text(EXTENSION + "я")),
    st.builds("{}{}".format, st.integers(60, 72).map("я".__mul__), st.text(UCS2 + PAIRS)),
)


@settings(deadline=None)  # the machine may be busy
@given(texts)
@example("")
@example("\x1b")
def test_segments_agree_with_an_independent_count(text: str) -> None:
    assert segments(text) == len(smsutil.split(text).parts)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("я" * 134, 2),
        ("я" * 135, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ç" + "a" * 70, 2),  # one letter outside the alphabet makes the whole text UCS-2
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("€" + "a" * 304, 2),  # two full parts, one of them with an escape
        ("€" + "a" * 305, 3),
        ("😀" + "я" * 132, 2),
        ("😀" + "я" * 133, 3),
    ],
)
def test_a_text_takes_as_many_sms_as_the_standard_says(text: str, count: int) -> None:
    assert segments(text) == count


def test_an_escape_pair_is_never_split_over_two_parts() -> None:
    assert segments("a" * 306) == 2
    assert segments("a" * 152 + "€" + "a" * 152) == 3  # 306 septets, yet the pair moves over whole


def test_a_surrogate_pair_is_never_split_over_two_parts() -> None:
    assert segments("я" * 134) == 2
    assert segments("я" * 66 + "😀" + "я" * 66) == 3  # 134 code units


def test_the_last_character_that_needs_no_pair_takes_one_code_unit() -> None:
    assert segments("\uffff" * 70) == 1
    assert segments("\uffff" * 132 + "😀") == 2
    assert segments("\U00010000" * 36) == 2


@pytest.mark.parametrize("text", ["\ud83d", "Привет \udc00!", "a\udfff", chr(0xD800)])
def test_half_of_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        segments(text)
