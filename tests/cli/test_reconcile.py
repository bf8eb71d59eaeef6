from __future__ import annotations

import csv
import io
import json

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.services.books import Books
from tests.services.journey import Journey


pytestmark = pytest.mark.integration


@pytest.fixture
def books(journey: Journey, tmp_path: Path) -> Books:
    found = Books(journey, tmp_path)
    found.deliver(6)
    return found


def lose_a_charge(books: Books) -> None:
    books.change(
        "DELETE FROM cascade.charges WHERE attempt_id ="
        " (SELECT min(attempt_id) FROM cascade.charges)"
    )


def test_books_that_agree_end_with_0(books: Books, run: Run):
    done = run("reconcile", books.record(), "--since", "1d")
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"{len(books.lines)} lines of the record, {len(books.lines)} agree" in done.stdout
    assert "The books agree" in done.stdout


def test_what_does_not_agree_is_listed_without_a_phone_and_ends_with_1(books: Books, run: Run):
    lose_a_charge(books)
    done = run("reconcile", books.record(), "--since", "1d")
    assert done.exit_code == 1
    assert "not_charged: 1. Delivered, without a charge." in done.stdout
    assert "7916" not in done.output


def test_json_holds_the_counts_of_all_kinds_and_each_discrepancy(books: Books, run: Run):
    lose_a_charge(books)
    found = json.loads(run("reconcile", "--json").stdout)
    assert (found["is_balanced"], found["counts"]["not_charged"]) == (False, 1)
    [one] = found["found"]
    assert (one["kind"], one["booked"], one["is_mendable"]) == ("not_charged", [], True)


def test_csv_has_a_row_for_each_discrepancy(books: Books, run: Run):
    books.lines[0]["amount"] = "9.50"
    done = run("reconcile", books.record(), "--since", "1d", "--csv", "-")
    [row] = csv.DictReader(io.StringIO(done.stdout))
    assert (row["kind"], row["billed"], row["billed_currency"]) == ("price_differs", "9.50", "RUB")
    assert row["booked"] == "0.300000"


def test_a_repair_says_what_it_wrote_and_leaves_books_that_agree(books: Books, run: Run):
    lose_a_charge(books)
    books.lines[-1]["amount"] = "9.50"
    done = run("reconcile", books.record(), "--since", "1d", "--repair")
    assert done.exit_code == 0
    assert "Written: 1 corrections, 1 charges" in done.stdout

    again = json.loads(
        run("reconcile", books.record(), "--since", "1d", "--repair", "--json").stdout
    )
    assert (again["written"], again["is_balanced"]) == ({}, True)


def test_an_invoice_of_a_provider_is_read_by_its_own_words(books: Books, run: Run, tmp_path: Path):
    lines = [line for line in books.lines if line["account"] == "smsc"]
    path = tmp_path / "smsc.csv"
    rows = (f"{one['recipient']};{one['accepted_at']};{one['amount']};RUB\n" for one in lines)
    path.write_text("Phone;Time;Cost;currency\n" + "".join(rows))
    columns = ("recipient=Phone", "accepted_at=Time", "amount=Cost")
    options = [word for one in columns for word in ("--column", one)]
    done = run("reconcile", path, "--account", "smsc", *options, "--since", "1d", "--json")
    found = json.loads(done.stdout)
    assert (found["lines"], found["found"]) == (len(lines), [])


def test_without_a_period_it_is_that_of_the_record(books: Books, run: Run):
    books.journey.advance(30 * 24 * 3600)
    found = json.loads(run("reconcile", books.record(), "--json").stdout)
    assert found["agreed"] == len(books.lines)
    assert json.loads(run("reconcile", books.record(), "--since", "7d", "--json").stdout)[
        "outside"
    ] == len(books.lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        (("--json", "--csv", "-"), "standard output"),
        (("--since", "tomorrow"), "--since"),
        (("--timezone", "Nowhere"), "--timezone"),
    ],
)
def test_wrong_use_ends_with_2_and_says_why(
    journey: Journey, run: Run, arguments: tuple[str, ...], said: str
):
    done = run("reconcile", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_record_that_cannot_be_read_is_refused_in_words(
    journey: Journey, run: Run, tmp_path: Path
):
    path = tmp_path / "march.csv"
    path.write_bytes(b"\xff\xfe")
    done = run("reconcile", path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "cascade: march.csv: it cannot be read: it is not UTF-8;"
        " save it as UTF-8, where it can be read\n"
    )
