from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings, strategies as st

from cascade.domain.errors import InvalidInputError
from cascade.domain.message import Template
from cascade.services.submission import Alike, Submission, check


PHONE = "+79161234567"

SHARED = Submission(
    to="",
    text={"ru": "Заказ #n#", "de": "Bestellung #n#"},
    texts={"sms": {"ru": "#n# ждёт", "de": "x" * 990 + "#n#"}},
    templates={"whatsapp": Template("ready", parameters={"1": "#n#"})},
)

OWN = st.fixed_dictionaries(
    {
        "to": st.sampled_from([PHONE, "8 916 123-45-67", "12", "+74951234567"]),
        "key": st.sampled_from([None, "k", ""]),
        "variables": st.sampled_from([{"n": "7"}, {"n": "x" * 11}, {"n": "\x00"}, {}, {"m": "7"}]),
        "language": st.sampled_from([None, "ru", "de", "en"]),
        "send_at": st.just(None),
    }
)


def said(alike: Alike, own: dict[str, Any]) -> object:
    """What comes of one row: what is written of it, or the refusal."""
    try:
        found = alike.check(**own)
    except InvalidInputError as error:
        return str(error)
    return found.phone, found.content, found.key, found.language


@settings(deadline=None)
@given(st.lists(OWN, max_size=8))
def test_a_row_is_judged_the_same_whichever_went_before_it(rows: list[dict[str, Any]]):
    alike = Alike(SHARED)

    assert [said(alike, own) for own in rows] == [said(Alike(SHARED), own) for own in rows]


def test_no_repr_shows_the_number_the_key_or_the_words():
    asked = Submission(to=PHONE, text="s3cret #n#", variables={"n": "s3cret"}, key=PHONE)

    for value in (asked, check(asked), replace(asked, text={"ru": "s3cret"})):
        assert PHONE[-7:] not in repr(value)
        assert "s3cret" not in repr(value)
