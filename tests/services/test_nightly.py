from __future__ import annotations

import logging

from pathlib import Path

import pytest

from cascade.domain.errors import InvalidInputError
from cascade.services.nightly import reconcile_nightly
from tests.conftest import CONFIG
from tests.services.books import Books
from tests.services.journey import Journey


pytestmark = pytest.mark.integration


@pytest.fixture
def books(journey: Journey, tmp_path: Path) -> Books:
    found = Books(journey, tmp_path)
    found.deliver(12)
    found.record()
    return found


def one_night(books: Books) -> dict[str, int]:
    return dict(reconcile_nightly(books.journey.ledger, CONFIG, books.folder))


def test_a_night_without_discrepancies_is_noted_and_alarms_nobody(
    books: Books, caplog: pytest.LogCaptureFixture
):
    assert one_night(books) == {"lines": len(books.lines), "agreed": len(books.lines)}
    run = books.journey.row("SELECT * FROM cascade.reconciliations")
    assert (run.is_nightly, run.lines, sum(run.found.values())) == (True, len(books.lines), 0)
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_what_is_found_is_noted_and_told_and_nothing_is_mended(
    books: Books, caplog: pytest.LogCaptureFixture
):
    books.change(
        "DELETE FROM cascade.charges WHERE attempt_id ="
        " (SELECT min(attempt_id) FROM cascade.charges)"
    )
    charges = books.journey.charges()
    assert one_night(books)["not_charged"] == 1
    run = books.journey.row("SELECT * FROM cascade.reconciliations")
    assert run.found["not_charged"] == sum(run.found.values()) == 1
    [alert] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert vars(alert)["found"] == {"not_charged": 1}
    assert books.journey.charges() == charges


def test_two_beats_make_one_run_a_night(books: Books):
    one_night(books)
    assert one_night(books) == {"second": 1}
    books.journey.advance(24 * 3600)
    assert "second" not in one_night(books)


def test_an_invoice_of_a_part_of_the_time_says_nothing_of_the_rest(books: Books):
    books.lines = books.lines[:3]
    books.record()
    assert set(one_night(books)) == {"lines", "agreed"}


def test_a_record_that_cannot_be_read_fails_the_task_in_words(books: Books):
    (books.folder / "april.csv").write_text("nothing\n")
    with pytest.raises(InvalidInputError, match=r"april\.csv, line 1: there is no column"):
        one_night(books)


def test_without_a_directory_the_books_alone_are_compared(books: Books):
    assert not reconcile_nightly(books.journey.ledger, CONFIG, None).total()
