"""The books: our charges against a provider's own record of what it delivered and bills.

Charged + unattributable + unheard + duplicates = billed, and it must hold line by line: every line
of the record is paired with at most one attempt of ours, and every attempt with at most one line.

A recipient is an E.164 number or its keyed hash, the same on both sides.
"""

from __future__ import annotations

import datetime as dt

from collections import defaultdict
from collections.abc import Container, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, TypeVar

from cascade.domain.money import Amount


CLOCKS_APART = dt.timedelta(seconds=2)  # between the provider's clock and the database's
READ_LATE = dt.timedelta(seconds=10)  # a busy provider may take a request we have given up on


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One delivered message in a provider's record; `amount` is None where it names no price."""

    account: str
    ref: str  # the provider's; empty where the record carries none
    client_ref: str | None  # ours, where the record carries it
    recipient: str | None = field(repr=False)  # None where the record carries none
    accepted_at: dt.datetime
    delivered_at: dt.datetime
    amount: Amount | None


@dataclass(frozen=True, slots=True)
class Window:
    """When a provider took a call, if it did: between these, both included."""

    begin: dt.datetime
    end: dt.datetime

    def holds(self, moment: dt.datetime) -> bool:
        """Whether it may have been then."""
        return self.begin <= moment <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A charge of ours; `amount` is None while it is unrated."""

    attempt_id: int
    account: str
    client_ref: str
    provider_refs: tuple[str, ...]
    recipient: str = field(repr=False)
    started_at: dt.datetime  # the first call
    amount: Amount | None
    call: Window | None = None  # lets a line without a reference be paired by its time and price


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """An attempt that a receipt could find, yet none ever told of its delivery: not charged."""

    attempt_id: int
    account: str
    client_ref: str
    provider_refs: tuple[str, ...]
    recipient: str = field(repr=False)
    started_at: dt.datetime
    call: Window | None = None  # as an entry's


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """An ambiguous call to an account whose receipts carry only the provider's reference, which
    we never learnt: no receipt can find it, so it is not charged.

    The provider took it between `called_from` and `called_until`, if it did.
    """

    attempt_id: int
    account: str
    recipient: str = field(repr=False)
    called_from: dt.datetime
    called_until: dt.datetime


Ours = TypeVar("Ours")
Findable = TypeVar("Findable", bound=Entry | Unconfirmed)


@dataclass(frozen=True, slots=True)
class Pair(Generic[Ours]):
    """A line of the record and what it is in our books."""

    line: Line
    ours: Ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Every line and every charge, each in exactly one place."""

    matched: tuple[Pair[Entry], ...]  # the amounts agree exactly
    differing: tuple[Pair[Entry], ...]  # they do not, or one of them is not known
    unattributable: tuple[Pair[Silent], ...]
    unheard: tuple[Pair[Unconfirmed], ...]
    duplicates: tuple[Pair[Entry], ...]  # of an attempt that was charged by another line
    unpaired_lines: tuple[Line, ...]
    unpaired_entries: tuple[Entry, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """The provider's record."""
        return (
            *(pair.line for pair in self.matched),
            *(pair.line for pair in self.differing),
            *(pair.line for pair in self.unattributable),
            *(pair.line for pair in self.unheard),
            *(pair.line for pair in self.duplicates),
            *self.unpaired_lines,
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Our charges."""
        paired = (*self.matched, *self.differing)
        return (*(pair.ours for pair in paired), *self.unpaired_entries)

    @property
    def is_balanced(self) -> bool:
        """Whether charged + unattributable = billed, line by line and in every currency.

        Unheard lines and duplicates are named, and still are money that was not charged.
        """
        return not (
            self.differing
            or self.unheard
            or self.duplicates
            or self.unpaired_lines
            or self.unpaired_entries
        )


def compare(
    entries: Iterable[Entry],
    lines: Iterable[Line],
    *,
    silent: Iterable[Silent] = (),
    unconfirmed: Iterable[Unconfirmed] = (),
    echoing: Container[str] = frozenset(),
) -> Books:
    """Pairs lines with attempts one to one; the order of what is given changes nothing.

    `echoing` are the accounts whose receipts carry our reference: their lines are found by it.
    All others are found by the provider's reference, as their receipts are. A line or an attempt
    without any reference is found by the recipient, the time of the call and the price.
    """
    silences = _Silences(silent)
    charged = _Index(entries, echoing)
    uncharged = _Index(unconfirmed, echoing, but=silences.ids)
    found = _Found()
    for line in sorted(lines, key=lambda line: (line.accepted_at, line.delivered_at, line.ref)):
        key = _key(line, echoing)
        if (entry := charged.take(key)) is not None:
            found.pairs.append(Pair(line, entry))
        elif (first := charged.first(key)) is not None:
            found.duplicates.append(Pair(line, first))
        elif (attempt := uncharged.take(key)) is not None:
            found.unheard.append(Pair(line, attempt))
        elif (silence := silences.take(line)) is not None:
            found.unattributable.append(Pair(line, silence))
        elif (entry := charged.take_near(line)) is not None:
            found.pairs.append(Pair(line, entry))
        elif (attempt := uncharged.take_near(line)) is not None:
            found.unheard.append(Pair(line, attempt))
        else:
            found.unpaired.append(line)
    return found.books(charged.rest())


def window(called_at: dt.datetime, answered_at: dt.datetime | None) -> Window:
    """When a provider took a call that was answered, or given up, at `answered_at`."""
    return Window(called_at - CLOCKS_APART, (answered_at or called_at) + READ_LATE)


def total(amounts: Iterable[Amount | None]) -> dict[str, Decimal]:
    """Sums by currency; what has no amount adds nothing."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for amount in amounts:
        if amount is not None:
            sums[amount.currency] += amount.value
    return dict(sums)


@dataclass(slots=True)
class _Found:
    """What became of the lines so far."""

    pairs: list[Pair[Entry]] = field(default_factory=list)
    unattributable: list[Pair[Silent]] = field(default_factory=list)
    unheard: list[Pair[Unconfirmed]] = field(default_factory=list)
    duplicates: list[Pair[Entry]] = field(default_factory=list)
    unpaired: list[Line] = field(default_factory=list)

    def books(self, unpaired_entries: Iterable[Entry]) -> Books:
        return Books(
            matched=tuple(pair for pair in self.pairs if _agrees(pair)),
            differing=tuple(pair for pair in self.pairs if not _agrees(pair)),
            unattributable=tuple(self.unattributable),
            unheard=tuple(self.unheard),
            duplicates=tuple(self.duplicates),
            unpaired_lines=tuple(self.unpaired),
            unpaired_entries=tuple(unpaired_entries),
        )


class _Index(Generic[Findable]):
    """Attempts by what finds them; each is taken once, the oldest first.

    The recipient is part of the key: providers' ids restart, and a line about somebody else is
    not ours.
    """

    def __init__(
        self,
        attempts: Iterable[Findable],
        echoing: Container[str],
        *,
        but: Container[int] = frozenset(),
    ) -> None:
        """Those of `but` are found by their references only."""
        self._all = {one.attempt_id: one for one in sorted(attempts, key=_age)}
        self._left = dict(self._all)
        self._by_key: dict[Hashable, list[int]] = defaultdict(list)
        self._by_person: dict[Hashable, list[int]] = defaultdict(list)
        for attempt in self._all.values():
            for key in _keys(attempt, echoing):
                self._by_key[key].append(attempt.attempt_id)
            if attempt.call is not None and attempt.attempt_id not in but:
                self._by_person[attempt.account, attempt.recipient].append(attempt.attempt_id)

    def first(self, key: Hashable) -> Findable | None:
        """The oldest that the key finds, taken or not."""
        found = self._by_key.get(key)
        return self._all[found[0]] if found else None

    def take(self, key: Hashable) -> Findable | None:
        for attempt_id in self._by_key.get(key, ()):
            if attempt_id in self._left:
                return self._left.pop(attempt_id)
        return None

    def take_near(self, line: Line) -> Findable | None:
        for attempt_id in self._by_person.get((line.account, line.recipient), ()):
            if attempt_id in self._left and _is_near(line, self._left[attempt_id]):
                return self._left.pop(attempt_id)
        return None

    def rest(self) -> Iterable[Findable]:
        return self._left.values()


class _Silences:
    """Ambiguous attempts, each paired at most once.

    With lines in the order of acceptance, the window that closes first is the right choice: it
    leaves the most pairs for the lines that follow.
    """

    def __init__(self, silent: Iterable[Silent]) -> None:
        self._by_person: dict[Hashable, list[Silent]] = defaultdict(list)
        self.ids: set[int] = set()
        for one in sorted(silent, key=lambda one: (one.called_until, one.attempt_id)):
            self._by_person[one.account, one.recipient].append(one)
            self.ids.add(one.attempt_id)

    def take(self, line: Line) -> Silent | None:
        candidates = self._by_person.get((line.account, line.recipient), [])
        for place, one in enumerate(candidates):
            if one.called_from <= line.accepted_at <= one.called_until:
                return candidates.pop(place)
        return None


def _agrees(pair: Pair[Entry]) -> bool:
    return pair.line.amount is not None and pair.line.amount == pair.ours.amount


def _is_near(line: Line, attempt: Entry | Unconfirmed) -> bool:
    """References that contradict each other are no pair, whatever else agrees."""
    has_reference = bool(line.ref) or line.client_ref is not None
    if attempt.call is None or (has_reference and attempt.provider_refs):
        return False
    if isinstance(attempt, Entry) and attempt.amount != line.amount:
        return False
    return attempt.call.holds(line.accepted_at)


def _age(attempt: Entry | Unconfirmed) -> tuple[dt.datetime, int]:
    return attempt.started_at, attempt.attempt_id


def _key(line: Line, echoing: Container[str]) -> Hashable:
    if line.client_ref is not None and line.account in echoing:
        return "ours", line.account, line.client_ref, line.recipient
    return "theirs", line.account, line.ref, line.recipient


def _keys(attempt: Entry | Unconfirmed, echoing: Container[str]) -> Iterator[Hashable]:
    """A line that names no recipient is found without it."""
    where = attempt.account
    for whom in (attempt.recipient, None):
        for ref in attempt.provider_refs:
            yield "theirs", where, ref, whom
        if where in echoing:
            yield "ours", where, attempt.client_ref, whom
