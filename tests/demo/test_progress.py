"""The demo waits until all is over, and shows where everything is."""

from __future__ import annotations

import io

from collections.abc import Callable

import pytest

from rich.console import Console

from cascade.domain.state import AttemptState
from demo.progress import Funnel, Pace, draw, funnel_of, line, look, watch
from tests.demo.run import ANNA, BORIS, Run


pytestmark = pytest.mark.integration


class Clock:
    """Time that passes only while somebody sleeps; `meanwhile` happens in the first sleep."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.now = 0.0
        self._meanwhile = [meanwhile]

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self._meanwhile:
            self._meanwhile.pop()()

    def pace(self, *, limit: float = 30) -> Pace:
        return Pace(limit=limit, sleep=self.sleep, clock=lambda: self.now)


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=terminal)


def said(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


def test_it_waits_until_the_last_message_has_ended(run: Run) -> None:
    one = run.call_one(ANNA)
    message = run.take(one, one.client_ref)
    clock = Clock(meanwhile=lambda: run.deliver(message))
    over = watch(run.ledger, total=1, pending=int, console=console(), pace=clock.pace())
    assert over
    assert clock.now == 0.5


def test_it_waits_for_messages_that_are_not_accepted_yet(run: Run) -> None:
    clock = Clock()
    assert not watch(run.ledger, total=1, pending=int, console=console(), pace=clock.pace())


def test_it_waits_for_the_sandbox(run: Run) -> None:
    answers = [2, 1, 0]
    clock = Clock()
    over = watch(
        run.ledger,
        total=0,
        pending=lambda: answers.pop(0),
        console=console(),
        pace=clock.pace(),
    )
    assert over
    assert answers == []


def test_it_waits_for_a_receipt_that_is_in_the_inbox(run: Run) -> None:
    one = run.call_one(ANNA)
    message = run.take(one, one.client_ref)
    run.deliver(message)
    run.store(message, AttemptState.READ)
    clock = Clock(meanwhile=lambda: run.tell(message, AttemptState.SENT))  # collects both
    assert watch(run.ledger, total=1, pending=int, console=console(), pace=clock.pace())
    assert clock.now == 0.5


def test_it_looks_again_after_the_sandboxs_word(run: Run) -> None:
    """A message that came in between must not be missed."""
    senders = [lambda: run.send(ANNA)]

    def pending() -> int:
        if senders:
            senders.pop()()
        return 0

    clock = Clock()
    assert not watch(run.ledger, total=0, pending=pending, console=console(), pace=clock.pace())


def test_it_gives_up_at_the_limit(run: Run) -> None:
    run.send(ANNA)
    clock = Clock()
    over = watch(run.ledger, total=1, pending=int, console=console(), pace=clock.pace(limit=7))
    assert not over
    assert clock.now == 7


def test_a_process_that_died_ends_the_watch(run: Run) -> None:
    def check() -> None:
        raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        watch(run.ledger, total=1, pending=int, console=console(), check=check)


def test_without_a_terminal_it_prints_a_line_every_five_seconds(run: Run) -> None:
    run.send(ANNA)
    log, clock = console(), Clock()
    watch(run.ledger, total=1, pending=int, console=log, pace=clock.pace(limit=11))
    lines = said(log).splitlines()
    assert [one[:6].strip() for one in lines] == ["0 s", "5 s", "10 s"]
    assert "0/1 ended; attempts: 1 waiting" in lines[0]


def test_on_a_terminal_it_draws_a_funnel_of_every_channel(run: Run) -> None:
    screen, clock = console(terminal=True), Clock()
    watch(run.ledger, total=0, pending=int, console=screen, pace=clock.pace())
    for words in ("vk", "whatsapp", "in flight", "moved on", "0 of 0 messages have ended"):
        assert words in said(screen)


def test_each_attempt_has_one_place_in_the_funnel() -> None:
    assert funnel_of(dict.fromkeys(AttemptState, 1)) == Funnel(
        waiting=3, in_flight=1, sent=2, delivered=2, moved_on=6
    )


def test_a_view_shows_who_is_where(run: Run) -> None:
    anna, boris = run.call_one(ANNA), run.call_one(BORIS)
    run.deliver(run.take(anna, anna.client_ref))
    view = look(run.ledger)
    assert line(view, total=2, elapsed=3.2).split(";")[0] == "   3 s  1/2 ended"
    assert (view.accepted, view.final, boris.account) == (2, 1, "notify-vk")
    page = console()
    page.print(draw(view, total=2, elapsed=3.2))
    assert "1 of 2 messages have ended" in said(page)
    assert max(map(len, said(page).splitlines())) <= 100
