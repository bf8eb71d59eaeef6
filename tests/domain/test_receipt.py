from __future__ import annotations

import datetime as dt

from typing import Any

import pytest

from hypothesis import given, settings, strategies as st

from cascade.domain.receipt import dedupe_key
from cascade.domain.state import AttemptState
from tests.domain.building import NOW


FIELDS: dict[str, Any] = {
    "account": "smsc",
    "refs": ("ours", "theirs"),
    "status": AttemptState.DELIVERED,
    "native": ("1", "0"),
    "event_at": NOW,
}

words = st.text(max_size=3)
receipts = st.fixed_dictionaries(
    {
        "account": words,
        "refs": st.tuples(words, words),
        "status": st.sampled_from(AttemptState),
        "native": st.tuples(words, words),
        "event_at": st.sampled_from([None, NOW]),
    }
)


def test_a_repeated_receipt_has_the_same_key() -> None:
    assert dedupe_key(**FIELDS) == dedupe_key(**FIELDS)


def test_the_key_has_sixteen_bytes() -> None:
    assert len(dedupe_key(**FIELDS)) == 16


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("account", "smsc-2"),
        ("refs", ("other", "theirs")),
        ("refs", ("ours", "other")),
        ("refs", ("ours", None)),
        ("refs", (None, "theirs")),
        ("status", AttemptState.READ),
        ("native", ("2", "0")),
        ("native", ("1", "7")),
        ("event_at", NOW + dt.timedelta(milliseconds=1)),
        ("event_at", None),
    ],
)
def test_a_receipt_that_differs_in_anything_has_another_key(field: str, other: object) -> None:
    assert dedupe_key(**FIELDS | {field: other}) != dedupe_key(**FIELDS)


@settings(deadline=None)
@given(receipts, receipts)
def test_two_receipts_share_a_key_only_if_they_are_equal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert (dedupe_key(**one) == dedupe_key(**other)) == (one == other)


def test_a_separator_in_a_providers_word_makes_no_other_receipt_equal() -> None:
    one = FIELDS | {"native": ("a\x1fb", "c")}
    other = FIELDS | {"native": ("a", "b\x1fc")}
    assert dedupe_key(**one) != dedupe_key(**other)


def test_half_a_surrogate_pair_in_a_providers_word_is_taken() -> None:
    assert dedupe_key(**FIELDS | {"native": ("\ud800", "0")}) != dedupe_key(**FIELDS)


def test_a_receipt_that_waits_for_a_poll_is_not_the_answer_to_it() -> None:
    assert dedupe_key(**FIELDS, is_unconfirmed=True) != dedupe_key(**FIELDS)


@pytest.mark.parametrize(
    ("is_unconfirmed", "key"),
    [(False, "7c623bf8b4d489128a6c37034c663ed9"), (True, "163514f4fa5f409f495dc01bc5047fe3")],
)
def test_keys_stay_what_they_are_from_version_to_version(
    *, is_unconfirmed: bool, key: str
) -> None:
    assert dedupe_key(**FIELDS, is_unconfirmed=is_unconfirmed).hex() == key
    assert is_unconfirmed or dedupe_key(**FIELDS).hex() == key
