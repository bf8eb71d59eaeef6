"""The funnel of a channel as bars: how many came so far, and of how many."""

from __future__ import annotations

from dataclasses import dataclass

from cascade.domain.report import AttemptFigures, Group, MessageFigures, Share


NBSP = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One stage: a count, and which share of the stage named `of` it is."""

    stage: str
    count: int
    of: str | None = None
    share: Share | None = None

    @property
    def label(self) -> str:
        """For a person: the count, and the percentage with its base."""
        if self.share is None or self.share.ratio is None:
            return grouped(self.count)
        return f"{grouped(self.count)} ({percent(self.share)} of {self.of})"


@dataclass(frozen=True, slots=True)
class Band:
    """The bars of one channel, or of the messages as a whole."""

    name: str
    bars: tuple[Bar, ...]


def bands(group: Group) -> list[Band]:
    """The messages first, then each channel in cascade order."""
    return [
        Band("messages", message_bars(group.messages)),
        *(Band(one.channel, attempt_bars(one.attempts)) for one in group.channels),
    ]


def message_bars(figures: MessageFigures) -> tuple[Bar, ...]:
    """Accepted and reached."""
    return (
        Bar("accepted", figures.accepted),
        Bar("reached", figures.reached, "accepted", figures.reach),
    )


def attempt_bars(figures: AttemptFigures) -> tuple[Bar, ...]:
    """Called, sent, delivered; and read, where anybody was seen reading."""
    bars = (
        Bar("called", figures.called),
        Bar("sent", figures.sent, "called", Share(figures.sent, figures.called)),
        Bar("delivered", figures.delivered, "called", figures.rate),
    )
    if not figures.read:
        return bars
    return (*bars, Bar("read", figures.read, "delivered", Share(figures.read, figures.delivered)))


def percent(share: Share) -> str:
    """Such as `94.8 %`; a dash of nothing."""
    return "–" if share.ratio is None else f"{share.ratio * 100:.1f}{NBSP}%"


def grouped(number: int) -> str:
    """Thousands apart: `1,048,576`."""
    return f"{number:,}"
