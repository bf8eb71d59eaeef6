"""The books of a run: our charges against the sandbox's ledger file, line by line."""

from __future__ import annotations

import json

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from cascade.domain.state import AttemptState
from demo.report import failures
from tests.demo.run import ANNA, BORIS, Run


pytestmark = pytest.mark.integration


def delivered_by_vk(run: Run, *phones: str) -> None:
    for phone in phones:
        one = run.call_one(phone)
        run.deliver(run.take(one, one.client_ref))


def test_delivered_and_charged_messages_balance(run: Run) -> None:
    delivered_by_vk(run, ANNA, BORIS)
    figures = run.figures()
    assert figures.in_all.charged.amount == figures.in_all.billed.amount == Decimal("0.60")
    assert len(figures.books.matched) == 2
    assert failures(figures) == []


def dearer(event: dict[str, Any]) -> None:
    event["amount"] = "0.31"


def in_euros(event: dict[str, Any]) -> None:
    event["currency"] = "EUR"


def of_somebody_else(event: dict[str, Any]) -> None:
    event["recipient"] = "+79169999999"


def of_another_reference(event: dict[str, Any]) -> None:
    event["client_ref"] = "0" * 32


def never_delivered(event: dict[str, Any]) -> None:
    event["event"] = "expired"


@pytest.mark.parametrize(
    "change", [dearer, in_euros, of_somebody_else, of_another_reference, never_delivered]
)
def test_one_altered_line_is_found(run: Run, change: Callable[[dict[str, Any]], None]) -> None:
    delivered_by_vk(run, ANNA, BORIS)
    run.alter_line(change)
    figures = run.figures()
    assert not figures.books.is_balanced
    assert failures(figures)


def test_a_line_that_is_there_twice_is_found(run: Run) -> None:
    delivered_by_vk(run, ANNA)
    with run.path.open("a") as file:
        file.write(run.path.read_text().splitlines()[-1] + "\n")
    figures = run.figures()
    assert len(figures.books.duplicates) == 1
    assert failures(figures)


def test_failures_name_the_lines_with_masked_phones_only(run: Run) -> None:
    delivered_by_vk(run, ANNA)
    run.alter_line(of_another_reference)
    said = " ".join(failures(run.figures()))
    assert "+7916***0001" in said
    assert ANNA not in said


def test_a_lost_answer_of_devino_is_unattributable_and_balances(run: Run) -> None:
    one = run.call_one(ANNA, policy="code")
    run.bill(run.accept(one, "777"))
    run.lose_answer(one)
    run.expire()
    figures = run.figures()
    assert (figures.in_all.unattributable.count, figures.in_all.charged.count) == (1, 0)
    assert figures.in_all.unattributable.amount == figures.in_all.billed.amount == Decimal("1.20")
    assert figures.books.is_balanced


def test_one_lost_answer_of_devino_does_not_explain_two_lines(run: Run) -> None:
    one = run.call_one(ANNA, policy="code")
    run.lose_answer(one)
    for ref in ("777", "778"):
        run.bill(run.accept(one, ref))
    assert len(run.figures().books.unpaired_lines) == 1


def test_a_line_of_devino_from_another_time_is_not_explained_by_a_lost_answer(run: Run) -> None:
    one = run.call_one(ANNA, policy="code")
    run.lose_answer(one)
    run.advance_clock(60)
    run.bill(run.accept(one, "777"))
    assert len(run.figures().books.unpaired_lines) == 1


def test_a_charge_whose_answer_was_lost_is_found_where_our_reference_is_echoed(run: Run) -> None:
    one = run.call_one(ANNA)
    message = run.accept(one, one.client_ref)
    run.lose_answer(one)
    run.deliver(message)
    figures = run.figures()
    assert len(figures.books.matched) == 1
    assert figures.books.is_balanced


@pytest.mark.parametrize("policy", ["default", "code"])
def test_a_delivery_that_no_webhook_told_of_is_unheard_and_no_balance(
    run: Run, policy: str
) -> None:
    one = run.call_one(ANNA, policy=policy)
    run.bill(run.take(one, "777"))
    run.expire()
    figures = run.figures()
    assert figures.in_all.unheard.count == 1
    assert not figures.books.is_balanced


def test_a_delivery_that_was_heard_of_and_not_charged_is_not_called_unheard(run: Run) -> None:
    delivered_by_vk(run, ANNA)
    run.forget_charges()
    figures = run.figures()
    assert figures.in_all.unheard.count == 0
    assert len(figures.books.unpaired_lines) == 1


def test_a_charge_that_the_sandbox_never_billed_is_found(run: Run) -> None:
    one = run.call_one(ANNA)
    run.tell(run.take(one, one.client_ref), AttemptState.DELIVERED)
    [said] = failures(run.figures())
    assert said.startswith("charges that pair with no line: 1 (")


def test_the_ledger_holds_what_the_books_read(run: Run) -> None:
    delivered_by_vk(run, ANNA)
    last = json.loads(run.path.read_text().splitlines()[-1])
    [line] = run.figures().books.lines
    assert (line.ref, line.client_ref) == (last["ref"], last["client_ref"])
