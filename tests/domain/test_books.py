"""Our charges against a provider's record: everything is explained, or it does not balance."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import random

from decimal import Decimal

import pytest

from hypothesis import given, settings, strategies as st

from cascade.domain.books import Books, Entry, Line, Silent, Unconfirmed, compare, total
from cascade.domain.money import Amount


NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ECHOES, MUTE = "notify-vk", "devino-viber"
ECHOING = frozenset({ECHOES})
ANNA, BORIS = "+79160000001", "+79160000002"


def at(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def roubles(amount: str) -> Amount:
    return Amount(Decimal(amount), "RUB")


PRICE = roubles("1.20")


def line(
    ref: str = "p1",
    *,
    account: str = MUTE,
    client_ref: str | None = None,
    recipient: str = ANNA,
    accepted: float = 0,
    amount: Amount | None = PRICE,
) -> Line:
    return Line(
        account=account,
        ref=ref,
        client_ref=client_ref,
        recipient=recipient,
        accepted_at=at(accepted),
        delivered_at=at(accepted + 5),
        amount=amount,
    )


def entry(
    attempt_id: int = 1,
    *,
    account: str = MUTE,
    client_ref: str = "c1",
    refs: tuple[str, ...] = ("p1",),
    amount: Amount | None = PRICE,
) -> Entry:
    return Entry(
        attempt_id=attempt_id,
        account=account,
        client_ref=client_ref,
        provider_refs=refs,
        recipient=ANNA,
        started_at=at(attempt_id),
        amount=amount,
    )


def silent(attempt_id: int = 9, *, opened: float = -2, closed: float = 15) -> Silent:
    return Silent(
        attempt_id=attempt_id,
        account=MUTE,
        recipient=ANNA,
        called_from=at(opened),
        called_until=at(closed),
    )


def unconfirmed(account: str = ECHOES, refs: tuple[str, ...] = ()) -> Unconfirmed:
    return Unconfirmed(
        attempt_id=5,
        account=account,
        client_ref="c1",
        provider_refs=refs,
        recipient=ANNA,
        started_at=at(0),
    )


def test_empty_books_balance() -> None:
    assert compare([], []).is_balanced


def test_a_line_is_matched_by_the_providers_reference() -> None:
    books = compare([entry(refs=("p0", "p1"))], [line("p1")])
    assert books.is_balanced
    assert [pair.ours.attempt_id for pair in books.matched] == [1]


def test_where_our_reference_is_echoed_it_finds_a_charge_whose_answer_was_lost() -> None:
    charge = entry(account=ECHOES, refs=())
    record = line("wamid", account=ECHOES, client_ref="c1")
    assert compare([charge], [record], echoing=ECHOING).is_balanced


def test_where_it_is_not_echoed_our_reference_finds_nothing() -> None:
    books = compare([entry(refs=("p1",))], [line("p2", client_ref="c1")], echoing=ECHOING)
    assert len(books.unpaired_lines) == len(books.unpaired_entries) == 1


@pytest.mark.parametrize(
    ("charged", "billed"),
    [
        (roubles("1.20"), roubles("1.21")),
        (roubles("1.20"), Amount(Decimal("1.20"), "EUR")),
        (None, roubles("1.20")),
        (roubles("1.20"), None),
        (None, None),
    ],
)
def test_amounts_that_are_not_exactly_equal_and_known_differ(
    charged: Amount | None, billed: Amount | None
) -> None:
    books = compare([entry(amount=charged)], [line(amount=billed)])
    assert len(books.differing) == 1
    assert not books.is_balanced


def test_places_after_the_point_do_not_matter_to_an_amount() -> None:
    assert compare([entry(amount=roubles("1.200000"))], [line(amount=roubles("1.2"))]).is_balanced


def test_a_line_about_somebody_else_is_not_ours() -> None:
    books = compare([entry()], [line(recipient=BORIS)])
    assert books.unpaired_lines == (line(recipient=BORIS),)
    assert books.unpaired_entries == books.entries == (entry(),)
    assert not books.is_balanced


def test_a_charge_without_a_line_is_an_imbalance() -> None:
    assert not compare([entry()], []).is_balanced


def test_a_second_line_of_a_charged_attempt_is_a_duplicate_and_an_imbalance() -> None:
    books = compare([entry()], [line(accepted=0), line(accepted=1)])
    assert [pair.line for pair in books.duplicates] == [line(accepted=1)]
    assert not books.is_balanced


def test_ids_that_restart_are_paired_in_the_order_of_time() -> None:
    charges = [entry(2, amount=roubles("2")), entry(1, amount=roubles("1"))]
    record = [line(accepted=60, amount=roubles("2")), line(accepted=0, amount=roubles("1"))]
    assert compare(charges, record).is_balanced


def test_a_line_within_the_window_of_an_ambiguous_call_is_unattributable_and_balances() -> None:
    books = compare([], [line("p7", accepted=4)], silent=[silent()])
    assert [pair.line.ref for pair in books.unattributable] == ["p7"]
    assert books.is_balanced


@pytest.mark.parametrize("accepted", [-2.001, 15.001])
def test_a_line_outside_the_window_pairs_with_nothing(accepted: float) -> None:
    books = compare([], [line(accepted=accepted)], silent=[silent()])
    assert len(books.unpaired_lines) == 1


def test_one_ambiguous_call_explains_one_line_only() -> None:
    books = compare([], [line("p1"), line("p2")], silent=[silent()])
    assert (len(books.unattributable), len(books.unpaired_lines)) == (1, 1)
    assert not books.is_balanced


def test_an_ambiguous_call_explains_nobody_elses_line() -> None:
    books = compare([], [line(recipient=BORIS), line(account="smsc")], silent=[silent()])
    assert len(books.unpaired_lines) == 2


def test_an_ambiguous_call_that_was_never_delivered_needs_no_line() -> None:
    assert compare([], [], silent=[silent()]).is_balanced


def test_a_line_of_an_uncharged_attempt_is_unheard_and_an_imbalance() -> None:
    record = [line("x", account=ECHOES, client_ref="c1"), line("p3")]
    open_attempts = [unconfirmed(), dataclasses.replace(unconfirmed(MUTE, ("p3",)), attempt_id=6)]
    books = compare([], record, unconfirmed=open_attempts, echoing=ECHOING)
    assert len(books.unheard) == len(books.lines) == 2
    assert not books.is_balanced


def test_sums_are_kept_apart_by_currency() -> None:
    amounts = [roubles("1.20"), roubles("0.30"), Amount(Decimal(2), "KZT"), None]
    assert total(amounts) == {"RUB": Decimal("1.50"), "KZT": Decimal(2)}


def test_no_recipient_is_shown_by_a_repr() -> None:
    books = compare([entry()], [line("p9")], silent=[silent()], unconfirmed=[unconfirmed()])
    assert ANNA not in repr((books, silent(), unconfirmed()))


prices = st.sampled_from([roubles("0.30"), roubles("2"), Amount(Decimal("5.2"), "KZT")])
fates = st.sampled_from(["charged", "silent, delivered", "silent, lost", "open"])


@st.composite
def balanced_worlds(draw: st.DrawFn) -> tuple[list[Entry], list[Line], list[Silent]]:
    """Attempts with fates that balance; calls to a person may overlap, and ids repeat."""
    entries, lines, silences = [], [], []
    for number, fate in enumerate(draw(st.lists(fates, max_size=8))):
        account = draw(st.sampled_from([ECHOES, MUTE])) if fate == "charged" else MUTE
        person, price = draw(st.sampled_from([ANNA, BORIS])), draw(prices)
        ref, accepted = f"p{number}", draw(st.integers(0, 40))
        record = line(
            ref,
            account=account,
            client_ref=f"c{number}",
            recipient=person,
            accepted=accepted,
            amount=price,
        )
        if fate == "charged":
            charge = entry(
                number, account=account, client_ref=f"c{number}", refs=(ref,), amount=price
            )
            entries.append(dataclasses.replace(charge, recipient=person))
            lines.append(record)
        if fate.startswith("silent"):
            opened = accepted - draw(st.integers(0, 5))
            window = silent(number, opened=opened, closed=accepted + draw(st.integers(0, 9)))
            silences.append(dataclasses.replace(window, recipient=person))
        if fate == "silent, delivered":
            lines.append(record)
    return entries, lines, silences


def compared(world: tuple[list[Entry], list[Line], list[Silent]]) -> Books:
    entries, lines, silences = world
    return compare(entries, lines, silent=silences, echoing=ECHOING)


@settings(deadline=None)  # the machine may be busy
@given(balanced_worlds())
def test_what_happened_as_it_should_balances_in_every_currency(
    world: tuple[list[Entry], list[Line], list[Silent]],
) -> None:
    books = compared(world)
    assert books.is_balanced
    explained = [e.amount for e in books.entries] + [p.line.amount for p in books.unattributable]
    assert total(explained) == total(one.amount for one in world[1])


@settings(deadline=None)
@given(balanced_worlds(), st.randoms())
def test_the_order_of_both_books_changes_nothing(
    world: tuple[list[Entry], list[Line], list[Silent]], dice: random.Random
) -> None:
    before = compared(world)
    for part in world:
        dice.shuffle(part)
    assert compared(world) == before


@settings(deadline=None)
@given(balanced_worlds(), st.data())
def test_any_kopeck_on_any_charged_line_breaks_the_balance(
    world: tuple[list[Entry], list[Line], list[Silent]], data: st.DataObject
) -> None:
    entries, lines, silences = world
    charged = [one for one in lines if any(one.ref in e.provider_refs for e in entries)]
    if not charged:
        return
    victim = data.draw(st.sampled_from(charged))
    assert victim.amount is not None
    dearer = Amount(victim.amount.value + Decimal("0.01"), victim.amount.currency)
    altered = [dataclasses.replace(o, amount=dearer) if o is victim else o for o in lines]
    assert not compared((entries, altered, silences)).is_balanced
    assert not compared((entries, [o for o in lines if o is not victim], silences)).is_balanced
    assert not compared((entries, [*lines, victim], silences)).is_balanced


@settings(deadline=None)
@given(
    balanced_worlds(), st.lists(st.builds(line, st.sampled_from(["p0", "p1", "x"])), max_size=4)
)
def test_every_line_and_every_charge_has_exactly_one_place(
    world: tuple[list[Entry], list[Line], list[Silent]], foreign: list[Line]
) -> None:
    entries, lines, silences = world
    books = compared((entries, [*lines, *foreign], silences))
    assert sorted(map(repr, books.lines)) == sorted(map(repr, [*lines, *foreign]))
    assert sorted(e.attempt_id for e in books.entries) == sorted(e.attempt_id for e in entries)
    used = [pair.ours.attempt_id for pair in books.unattributable]
    assert len(used) == len(set(used))


windows = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted)


@settings(deadline=None, max_examples=60)
@given(st.lists(windows, max_size=4), st.lists(st.integers(0, 9), max_size=4))
def test_ambiguous_calls_explain_as_many_lines_as_any_pairing_could(
    spans: list[list[int]], moments: list[int]
) -> None:
    silences = [silent(n, opened=a, closed=b) for n, (a, b) in enumerate(spans)]
    lines = [line(f"p{n}", accepted=moment) for n, moment in enumerate(moments)]
    best = max(
        sum(a <= moment <= b for moment, (a, b) in zip(moments, order, strict=False))
        for order in itertools.permutations([*spans, *[[1, 0]] * len(moments)], len(moments))
    )
    assert len(compare([], lines, silent=silences).unattributable) == best
