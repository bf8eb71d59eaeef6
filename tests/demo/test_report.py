"""What a person reads, what a program reads, and why a run has failed."""

from __future__ import annotations

import io
import json

import pytest

from rich.console import Console

from cascade.domain.state import AttemptState
from demo.report import failures, render, to_json
from tests.demo.run import ANNA, BORIS, CLARA, Run


pytestmark = pytest.mark.integration


@pytest.fixture
def delivered(run: Run) -> Run:
    """One by VK, one by nobody, one unattributable by Viber."""
    anna = run.call_one(ANNA)
    run.deliver(run.take(anna, anna.client_ref))
    boris = run.call_one(BORIS, policy="code")
    run.bill(run.accept(boris, "777"))
    run.lose_answer(boris)
    clara = run.call_one(CLARA, policy="code")
    run.tell(run.take(clara, "778"), AttemptState.UNDELIVERABLE)
    for _ in range(3):
        run.hints.clear()
        run.expire()
        for one in run.call():
            run.tell(run.take(one, one.client_ref), AttemptState.UNDELIVERABLE)
    return run


def printed(run: Run, *, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render(run.figures()))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_the_report_fits_the_console_and_names_what_matters(delivered: Run, width: int) -> None:
    said = printed(delivered, width=width)
    assert max(map(len, said.splitlines())) <= width
    assert "…" not in said
    for words in ("vk", "unattributable", "agree to the kopeck", "0.30", "1.20", "reach"):
        assert words in said


def test_an_empty_run_has_a_report_and_has_failed(run: Run) -> None:
    assert "In all" in printed(run)
    assert failures(run.figures()) == ["no message was accepted"]


def test_a_report_of_books_that_disagree_says_so(delivered: Run) -> None:
    delivered.alter_line(lambda event: event.update(amount="0.29"))
    assert "do not agree" in printed(delivered)


def test_json_has_the_promised_figures_as_exact_strings(delivered: Run) -> None:
    figures = json.loads(json.dumps(to_json(delivered.figures())))
    assert figures["accepted"] == figures["final"] == 3
    assert (figures["delivered"], figures["undelivered"]) == (1, 2)
    assert (figures["cost_charged"], figures["cost_sandbox"]) == ("0.30", "1.50")
    assert (figures["unattributable"], figures["cost_unattributable"]) == (1, "1.20")
    assert figures["balanced"] is True


def test_the_outcomes_of_a_channel_in_json_add_up_to_its_attempts(delivered: Run) -> None:
    channels = to_json(delivered.figures())["channels"]
    assert set(channels) == {"vk", "viber", "sms"}
    for figures in channels.values():
        outcomes = {name: count for name, count in figures.items() if name in list(AttemptState)}
        assert sum(outcomes.values()) == figures["attempts"]
        assert set(figures) - set(outcomes) == {"attempts", "cost"}


def test_a_run_that_is_over_and_balanced_has_not_failed(delivered: Run) -> None:
    assert failures(delivered.figures()) == []


def test_each_thing_that_is_not_over_is_a_failure(run: Run) -> None:
    run.send(ANNA)
    said = failures(run.figures(pending=2))
    assert said == [
        "messages that are not final: 1",
        "attempts that are still live: 1",
        "events and webhooks pending in the sandbox: 2",
    ]


def test_only_the_first_lines_of_an_imbalance_are_shown(run: Run) -> None:
    one = run.call_one(ANNA)
    message = run.take(one, one.client_ref)
    run.tell(message, AttemptState.DELIVERED)
    for _ in range(9):
        run.bill(message)
    [said] = failures(run.figures())
    assert said.startswith("lines that bill an attempt again: 8 (")
    assert said.count("+7916***0001") == 5
