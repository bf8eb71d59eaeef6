"""Lines and charges without a reference: paired by the recipient, the time of the call, the price."""

from __future__ import annotations

import dataclasses

from typing import Any

import pytest

from cascade.domain.books import Window, compare, window
from tests.domain.test_books import (
    BORIS,
    ECHOES,
    MUTE,
    at,
    entry,
    line,
    roubles,
    silent,
    unconfirmed,
)


CALL = Window(at(-2), at(15))


def called(one: Any) -> Any:
    """It, with the time of its call."""
    return dataclasses.replace(one, call=CALL)


def test_a_call_is_looked_for_from_a_little_before_it_to_well_after_its_answer() -> None:
    assert window(at(0), at(4)) == Window(at(-2), at(14))
    assert window(at(0), None) == Window(at(-2), at(10))


@pytest.mark.parametrize(
    ("moment", "held"), [(-2.001, False), (-2, True), (15, True), (15.001, False)]
)
def test_both_ends_of_a_window_belong_to_it(moment: float, *, held: bool) -> None:
    assert CALL.holds(at(moment)) is held


def test_a_line_without_a_reference_is_paired_by_time_and_price() -> None:
    record, charge = line("", accepted=3), called(entry())
    books = compare([charge], [record])
    [pair] = books.matched
    assert (pair.line, pair.ours) == (record, charge)
    assert books.is_balanced


def test_a_charge_whose_answer_was_lost_is_paired_with_a_line_that_has_a_reference() -> None:
    assert compare([called(entry(refs=()))], [line("p1")]).is_balanced


@pytest.mark.parametrize(
    "record",
    [
        line("p2"),
        line("", client_ref="c2"),
        line("p2", client_ref="c2"),
    ],
)
def test_references_that_contradict_each_other_are_no_pair(record: Any) -> None:
    books = compare([called(entry(refs=("p1",)))], [record])
    assert books.unpaired_lines == (record,)


@pytest.mark.parametrize(
    "record",
    [
        line("", recipient=BORIS),
        line("", account=ECHOES),
        line("", accepted=-3),
        line("", accepted=16),
        line("", amount=roubles("1.21")),
    ],
)
def test_another_person_account_time_or_price_is_no_pair(record: Any) -> None:
    charge = called(entry())
    books = compare([charge], [record])
    assert books.unpaired_lines == (record,)
    assert books.unpaired_entries == (charge,)


def test_a_charge_whose_call_has_no_time_pairs_with_no_line_by_time() -> None:
    assert compare([entry()], [line("")]).unpaired_lines


def test_each_charge_is_paired_once_and_the_oldest_first() -> None:
    first, second = called(entry(1)), called(entry(2, client_ref="c2", refs=("p2",)))
    records = [line("", accepted=1), line("", accepted=2), line("", accepted=3)]
    books = compare([second, first], records)
    assert [pair.ours.attempt_id for pair in books.matched] == [1, 2]
    assert books.unpaired_lines == (records[2],)


def test_a_charge_that_a_reference_has_found_is_not_paired_by_time_again() -> None:
    books = compare([called(entry())], [line("p1", accepted=1), line("", accepted=2)])
    assert [pair.line.ref for pair in books.matched] == ["p1"]
    assert [one.ref for one in books.unpaired_lines] == [""]


def test_an_attempt_that_nothing_told_of_is_unheard_whatever_the_price() -> None:
    record, attempt = line("", amount=roubles("9")), called(unconfirmed(MUTE))
    [pair] = compare([], [record], unconfirmed=[attempt]).unheard
    assert (pair.line, pair.ours) == (record, attempt)


def test_an_unheard_attempt_that_its_reference_finds_is_named_with_its_line() -> None:
    record, attempt = line("p5"), unconfirmed(MUTE, ("p5",))
    [pair] = compare([], [record], unconfirmed=[attempt]).unheard
    assert (pair.line, pair.ours) == (record, attempt)


def test_a_second_line_is_named_with_the_charge_that_it_repeats() -> None:
    charge, records = entry(), [line("p1", accepted=1), line("p1", accepted=2)]
    [pair] = compare([charge], records).duplicates
    assert (pair.line, pair.ours) == (records[1], charge)


def test_an_ambiguous_call_explains_one_line_though_it_is_unconfirmed_as_well() -> None:
    both = dataclasses.replace(called(unconfirmed(MUTE)), attempt_id=9)
    records = [line("", accepted=1), line("", accepted=2)]
    books = compare([], records, silent=[silent(9)], unconfirmed=[both])
    assert len(books.unattributable) == 1
    assert books.unheard == ()
    assert books.unpaired_lines == (records[1],)
