"""The run while it goes on: a funnel by channel, and how many messages have ended."""

from __future__ import annotations

import time

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from cascade.domain.state import UNSENT, AttemptState, Channel, MessageState
from cascade.services.deployment import Ledger
from cascade.storage import totals
from cascade.storage.database import transaction


BAR = 36  # columns
_GLYPH = "━"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often it looks and how long it waits; seconds."""

    limit: float = 900.0
    look: float = 0.5
    line: float = 5.0  # between the lines where there is no terminal
    sleep: Callable[[float], object] = field(default_factory=lambda: Event().wait)
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """Where attempts are; each is counted once."""

    waiting: int = 0  # scheduled, queued, to be called again
    in_flight: int = 0
    sent: int = 0  # the provider has it, or may have it: receipts are awaited
    delivered: int = 0
    moved_on: int = 0

    @property
    def attempts(self) -> int:
        """All of them."""
        return self.waiting + self.in_flight + self.sent + self.delivered + self.moved_on

    def __add__(self, other: Funnel) -> Funnel:
        return Funnel(
            waiting=self.waiting + other.waiting,
            in_flight=self.in_flight + other.in_flight,
            sent=self.sent + other.sent,
            delivered=self.delivered + other.delivered,
            moved_on=self.moved_on + other.moved_on,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at the run."""

    channels: Mapping[Channel, Funnel]
    accepted: int
    final: int
    waiting: totals.Waiting

    def is_quiet(self, total: int) -> bool:
        """Whether `total` messages have ended and nothing here can change any more."""
        ended = self.accepted == self.final >= total
        return ended and not self.waiting.attempts and not self.waiting.receipts


def watch(
    ledger: Ledger,
    *,
    total: int,
    pending: Callable[[], int],
    console: Console,
    check: Callable[[], object] = lambda: None,
    pace: Pace | None = None,
) -> bool:
    """Shows the run until `total` messages have ended, no attempt is live, every receipt is applied
    and `pending()`, the sandbox's word, is 0; False if `pace.limit` seconds were not enough.

    `check` is called at each look and may raise, when a process has died. On a terminal it draws a
    funnel by channel, elsewhere it prints a short line now and then.
    """
    pace = pace or Pace()
    begun = pace.clock()
    show = _Drawing(console) if console.is_terminal else _Lines(console, pace.line)
    with show:
        while True:
            check()
            view, elapsed = look(ledger), pace.clock() - begun
            show.update(view, total, elapsed)
            # Quiet before and after the question: no call or receipt slips in between.
            if view.is_quiet(total) and pending() == 0 and look(ledger).is_quiet(total):
                return True
            if elapsed >= pace.limit:
                return False
            pace.sleep(pace.look)


def look(ledger: Ledger) -> View:
    """One look at the database."""
    return transaction(ledger.engine, _view)


def funnel_of(outcomes: Mapping[AttemptState, int]) -> Funnel:
    """Attempts by state, as a funnel shows them."""
    counts = {"waiting": 0, "in_flight": 0, "sent": 0, "delivered": 0, "moved_on": 0}
    for state, number in outcomes.items():
        counts[_place(state)] += number
    return Funnel(**counts)


def draw(view: View, *, total: int, elapsed: float) -> RenderableType:
    """The funnel by channel, and the bar of ended messages."""
    table = Table(box=None, padding=(0, 1))
    table.add_column("", min_width=9)
    for name in ("waiting", "in flight", "sent", "delivered", "moved on"):
        table.add_column(name, justify="right", min_width=9)
    table.add_column("", width=BAR)
    for channel in Channel:
        one = view.channels.get(channel, Funnel())
        numbers = (one.waiting, one.in_flight, one.sent, one.delivered, one.moved_on)
        table.add_row(channel.value, *(str(number or "·") for number in numbers), _bar(one, total))
    ended = Text(f" {view.final} of {total} messages have ended, {elapsed:.0f} s  ")
    ended.append(_GLYPH * _width(view.final, total), style="green")
    return Group(table, ended)


def line(view: View, *, total: int, elapsed: float) -> str:
    """The same, short."""
    one = sum(view.channels.values(), Funnel())
    return (
        f"{elapsed:4.0f} s  {view.final}/{total} ended; attempts: {one.waiting} waiting, "
        f"{one.in_flight} in flight, {one.sent} sent, {one.delivered} delivered, "
        f"{one.moved_on} moved on"
    )


class _Drawing:
    """A funnel that is drawn over and over in the same place, and gone at the end."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, view: View, total: int, elapsed: float) -> None:
        self._live.update(draw(view, total=total, elapsed=elapsed), refresh=True)


class _Lines:
    """A line now and then, for logs."""

    def __init__(self, console: Console, pause: float) -> None:
        self._console = console
        self._pause = pause
        self._next = 0.0

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, *_: object) -> None:
        """Nothing to clear."""

    def update(self, view: View, total: int, elapsed: float) -> None:
        if elapsed >= self._next:
            self._console.print(
                line(view, total=total, elapsed=elapsed), highlight=False, soft_wrap=True
            )
            self._next = elapsed + self._pause


def _view(connection: Connection) -> View:
    messages = totals.messages(connection)
    accepted = sum(messages.values())
    outcomes = totals.outcomes(connection)
    return View(
        channels={channel: funnel_of(states) for channel, states in outcomes.items()},
        accepted=accepted,
        final=accepted - messages[MessageState.IN_PROGRESS],
        waiting=totals.waiting(connection),
    )


def _place(state: AttemptState) -> str:
    if state in UNSENT:
        return "waiting"
    if state is AttemptState.SENDING:
        return "in_flight"
    if state in {AttemptState.UNKNOWN, AttemptState.SENT}:
        return "sent"
    return "delivered" if state.rank >= AttemptState.DELIVERED.rank else "moved_on"


def _bar(one: Funnel, total: int) -> Text:
    """As long as the channel's share of all messages; a later part begins where one ends."""
    bar = Text()
    so_far = 0
    parts = (
        (one.delivered, "green"),
        (one.sent, "yellow"),
        (one.in_flight + one.waiting, "blue"),
        (one.moved_on, "bright_black"),
    )
    for number, style in parts:
        start = _width(so_far, total)
        so_far += number
        bar.append(_GLYPH * (_width(so_far, total) - start), style=style)
    return bar


def _width(number: int, total: int) -> int:
    return min(BAR, round(BAR * number / total)) if total else 0
