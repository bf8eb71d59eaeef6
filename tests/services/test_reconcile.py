from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from sqlalchemy.exc import DBAPIError

from cascade.channels.cloud import reference
from cascade.domain.discrepancy import Discrepancy, Kind
from cascade.domain.errors import TryAgainError
from cascade.domain.state import AttemptState
from cascade.services.repair import _write
from tests.services.books import (
    BESIDES,
    WITHIN,
    Books,
    Put,
    a_delivery_that_was_never_heard_of,
    a_kopeck,
    inject,
    no_amount,
    victims,
)
from tests.services.journey import Journey


pytestmark = pytest.mark.integration


@pytest.fixture
def books(journey: Journey, tmp_path: Path) -> Books:
    found = Books(journey, tmp_path)
    found.deliver()
    return found


def put(one: Discrepancy) -> Put:
    assert one.attempt_id is not None or one.ref is not None
    return one.kind, one.attempt_id or one.ref or ""


def test_books_that_balance_have_no_discrepancy(books: Books):
    found = books.reconcile()
    assert found.found == ()
    assert found.lines == found.agreed == len(books.lines)
    assert books.reconcile(with_record=False).found == ()


@pytest.mark.parametrize("seed", range(5))
def test_ten_discrepancies_by_chance_are_found_and_no_other(books: Books, seed: int):
    expected = inject(books, seed, with_record=True)
    found = books.reconcile().found
    assert len(expected) == 10
    assert sorted(map(put, found), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("seed", range(2))
def test_without_a_record_the_books_themselves_tell(books: Books, seed: int):
    expected = inject(books, seed, with_record=False)
    priced = {Kind.PRICE_DIFFERS: Kind.RATE_DIFFERS}  # from the rate, as there is no line
    found = books.reconcile(with_record=False).found
    assert sorted(map(put, found), key=str) == sorted(
        ((priced.get(kind, kind), one) for kind, one in expected), key=str
    )


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("with_record", [True, False])
def test_a_repair_mends_what_can_be_mended_and_a_second_one_writes_nothing(
    books: Books, seed: int, *, with_record: bool
):
    inject(books, seed, with_record=with_record)
    before = books.journey.charges()
    done = books.repair(with_record=with_record)
    assert set(before) <= set(books.journey.charges())  # none was changed
    assert done.written.total() > 0
    assert all(one.remedy is None for one in done.left.found)

    again = books.repair(with_record=with_record)
    assert again.written.total() == 0
    assert again.first.found == done.left.found


def booked(books: Books) -> dict[str, Decimal]:
    rows = books.journey.rows(
        "SELECT currency, sum(amount) AS amount FROM ("
        "SELECT amount, currency FROM cascade.charges WHERE amount IS NOT NULL UNION ALL"
        " SELECT amount, currency FROM cascade.corrections) entries GROUP BY currency"
    )
    return {row.currency: row.amount for row in rows if row.amount}


def test_after_a_repair_charges_and_corrections_are_what_is_billed(books: Books):
    among = victims(books, 7)
    for change in (*WITHIN, *BESIDES):
        list(change(books, among))
    books.repair()

    left = {one.kind for one in books.reconcile().found}  # nobody here can say what these are
    assert left == {Kind.BILLED_NOT_DELIVERED, Kind.DELIVERY_WITHOUT_RECEIPT}
    billed = sum(Decimal(line["amount"]) for line in books.lines if line["ref"] != "of-nobody")
    assert booked(books) == {"RUB": billed}


def test_a_missing_receipt_is_charged_by_the_collector(books: Books):
    [(_, attempt_id)] = a_delivery_that_was_never_heard_of(books, victims(books, 1))
    done = books.repair()

    receipt = books.journey.row(
        "SELECT * FROM cascade.receipts WHERE attempt_id = :id", id=attempt_id
    )
    assert (receipt.native_status, receipt.status) == ("reconciled", "delivered")
    assert done.written == {"receipts": 1}
    assert done.left.found == ()


def test_a_correction_is_never_changed(books: Books):
    list(a_kopeck(books, victims(books, 1)))
    books.repair()
    for change in ("UPDATE cascade.corrections SET amount = 0", "DELETE FROM cascade.corrections"):
        with pytest.raises(DBAPIError, match="never changed"):
            books.journey.change(change)


def test_of_two_repairs_at_once_one_writes(books: Books):
    list(a_kopeck(books, victims(books, 1)))
    seen = books.reconcile()
    books.repair()
    with pytest.raises(TryAgainError, match="another repair"):
        _write(books.journey.ledger, seen)
    assert len(books.journey.rows("SELECT FROM cascade.corrections")) == 1


def test_what_was_booked_unrated_is_priced_once_there_is_a_rate(books: Books):
    [(_, attempt_id)] = no_amount(books, victims(books, 1))
    done = books.repair(with_record=False)

    correction = books.journey.row("SELECT * FROM cascade.corrections")
    billed = books.line_of(int(attempt_id))["amount"]
    assert (correction.attempt_id, str(correction.amount)) == (attempt_id, billed)
    assert done.left.found == ()


def test_lines_without_references_are_found_by_recipient_time_and_price(books: Books):
    for line in books.lines:
        line["ref"] = line["client_ref"] = ""
    assert books.reconcile().found == ()

    books.lines[0]["amount"] = "9.99"
    kinds = {one.kind for one in books.reconcile().found}
    assert kinds == {Kind.BILLED_NOT_DELIVERED, Kind.DELIVERED_NOT_BILLED}


def test_lines_without_recipients_are_found_by_reference(books: Books):
    for line in books.lines:
        line["recipient"] = ""
    assert books.reconcile().agreed == len(books.lines)


def test_a_line_about_somebody_else_is_not_ours(books: Books):
    books.lines[0]["recipient"] = "+79169999999"
    kinds = {one.kind for one in books.reconcile().found}
    assert kinds == {Kind.BILLED_NOT_DELIVERED, Kind.DELIVERED_NOT_BILLED}


def test_lines_of_another_time_are_counted_and_left_alone(books: Books):
    books.lines.append({**books.lines[0], "accepted_at": "2020-01-01T00:00:00Z"})
    found = books.reconcile()
    assert (found.found, found.outside) == ((), 1)


def test_an_account_without_a_record_is_not_compared_with_one(books: Books):
    books.lines = [line for line in books.lines if line["account"] == "smsc"]
    assert books.reconcile().found == ()


def test_a_delivery_whose_receipt_is_on_its_way_is_no_discrepancy(books: Books):
    [(_, attempt_id)] = a_delivery_that_was_never_heard_of(books, victims(books, 1))
    one = books.journey.row("SELECT * FROM cascade.attempts WHERE id = :id", id=attempt_id)
    books.journey.hear_of(one.message_id, AttemptState.DELIVERED, step=one.step)
    assert books.reconcile().found == ()


def test_whatsapps_references_are_matched_and_never_kept_as_they_are(books: Books):
    one = victims(books, 1).viber[0]
    raw = "wamid.HBgLNzkxNjAwMDAwMDA"
    books.line_of(one)["ref"] = raw
    books.journey.change(
        "UPDATE cascade.provider_refs SET ref = :kept WHERE attempt_id = :id",
        id=one,
        kept=reference(raw),
    )
    books.forget(one)
    done = books.repair()

    assert done.written == {"receipts": 1}
    kept = books.journey.rows("SELECT provider_ref FROM cascade.receipts")
    assert reference(raw) in {row.provider_ref for row in kept}
    assert raw not in {row.provider_ref for row in kept}


def test_no_recipient_is_shown_by_a_repr(books: Books):
    inject(books, 2, with_record=True)
    found = books.reconcile()
    assert "+7916" not in repr((found, found.found, books.question()))
