"""Charged + unattributable + unheard + duplicates = billed, on histories whose truth is known."""

from __future__ import annotations

import datetime as dt

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given, settings, strategies as st

from cascade.domain.books import Entry, Line, Silent, Unconfirmed, compare, total
from cascade.domain.money import Amount


NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ECHOES, MUTE = "notify-vk", "devino-viber"
PEOPLE = ("+79160000001", "+79160000002")


@dataclass(slots=True)
class History:
    """What a provider did, and what we know of it."""

    lines: list[Line] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    unconfirmed: list[Unconfirmed] = field(default_factory=list)
    silent: list[Silent] = field(default_factory=list)
    truth: Counter[str] = field(default_factory=Counter)


FATES = (
    "charged",  # delivered, and we heard of it
    "taken twice",  # by a channel that is opted into at-least-once: billed twice, charged once
    "unheard",  # delivered, and its webhook was lost for ever
    "undelivered",
    "unattributable",  # delivered after an ambiguous call; no receipt can ever find it
    "not taken",  # an ambiguous call that came to nothing
)


def happen(draw: st.DrawFn, history: History, number: int) -> None:
    """One attempt and its fate, on both sides."""
    fate = draw(st.sampled_from(FATES))
    is_ambiguous = fate in {"unattributable", "not taken"}
    account = MUTE if is_ambiguous else draw(st.sampled_from([ECHOES, MUTE]))
    person = draw(st.sampled_from(PEOPLE))
    called_at = NOON + dt.timedelta(seconds=draw(st.integers(0, 60)))
    price = Amount(draw(st.sampled_from([Decimal("0.30"), Decimal("1.50")])), "RUB")
    refs = (f"p{number}", f"q{number}")  # a second call has given a second one
    history.truth[fate] += 1

    def bill(ref: str) -> None:
        history.lines.append(
            Line(
                account=account,
                ref=ref,
                client_ref=f"c{number}" if account == ECHOES else None,
                recipient=person,
                accepted_at=called_at + dt.timedelta(seconds=draw(st.integers(0, 4))),
                delivered_at=called_at + dt.timedelta(seconds=30),
                amount=price,
            )
        )

    if fate not in {"undelivered", "not taken"}:
        bill(refs[0])
    if fate == "taken twice":
        bill(refs[1])
    if fate in {"charged", "taken twice"}:
        history.entries.append(
            Entry(
                attempt_id=number,
                account=account,
                client_ref=f"c{number}",
                provider_refs=refs,
                recipient=person,
                started_at=called_at,
                amount=price,
            )
        )
        return
    history.unconfirmed.append(
        Unconfirmed(
            attempt_id=number,
            account=account,
            client_ref=f"c{number}",
            provider_refs=() if is_ambiguous else refs,
            recipient=person,
            started_at=called_at,
        )
    )
    if is_ambiguous:
        history.silent.append(
            Silent(
                attempt_id=number,
                account=account,
                recipient=person,
                called_from=called_at,
                called_until=called_at + dt.timedelta(seconds=4),
            )
        )


@st.composite
def histories(draw: st.DrawFn) -> History:
    history = History()
    for number in range(draw(st.integers(0, 12))):
        happen(draw, history, number)
    return history


@settings(deadline=None)
@given(histories())
def test_every_line_of_a_history_is_explained_by_what_became_of_it(history: History) -> None:
    books = compare(
        history.entries,
        history.lines,
        silent=history.silent,
        unconfirmed=history.unconfirmed,
        echoing=frozenset({ECHOES}),
    )

    truth = history.truth
    assert len(books.matched) == truth["charged"] + truth["taken twice"]
    assert len(books.duplicates) == truth["taken twice"]
    assert len(books.unheard) == truth["unheard"]
    assert len(books.unattributable) == truth["unattributable"]
    assert (books.differing, books.unpaired_lines, books.unpaired_entries) == ((), (), ())
    named = [pair.line for pair in books.unattributable]
    named += [pair.line for pair in books.unheard] + [pair.line for pair in books.duplicates]
    explained = [one.amount for one in history.entries] + [one.amount for one in named]
    assert total(explained) == total(line.amount for line in history.lines)
