"""The books: our charges against a provider's own record of what it delivered and bills.

Charged + unattributable + unheard + duplicates = billed, and it must hold line by line: every line
of the record is paired with at most one attempt of ours, and every attempt with at most one line.
"""

from __future__ import annotations

import datetime as dt

from collections import defaultdict
from collections.abc import Container, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, TypeVar

from cascade.domain.money import Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One delivered message in a provider's record; `amount` is None where it names no price."""

    account: str
    ref: str  # the provider's
    client_ref: str | None  # ours, where the record carries it
    recipient: str = field(repr=False)  # E.164
    accepted_at: dt.datetime
    delivered_at: dt.datetime
    amount: Amount | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A charge of ours; `amount` is None while it is unrated."""

    attempt_id: int
    account: str
    client_ref: str
    provider_refs: tuple[str, ...]
    recipient: str = field(repr=False)  # E.164
    started_at: dt.datetime  # the first call
    amount: Amount | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """An attempt that a receipt could find, yet none ever told of its delivery: not charged."""

    attempt_id: int
    account: str
    client_ref: str
    provider_refs: tuple[str, ...]
    recipient: str = field(repr=False)  # E.164
    started_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """An ambiguous call to an account whose receipts carry only the provider's reference, which
    we never learnt: no receipt can find it, so it is not charged.

    The provider took it between `called_from` and `called_until`, if it did.
    """

    attempt_id: int
    account: str
    recipient: str = field(repr=False)  # E.164
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
    duplicates: tuple[Line, ...]  # of an attempt that was charged by another line
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
            *self.duplicates,
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
    All others are found by the provider's reference, as their receipts are.
    """
    charged = _Index(entries, echoing)
    uncharged = _Index(unconfirmed, echoing)
    silences = _Silences(silent)
    found = _Found()
    for line in sorted(lines, key=lambda line: (line.accepted_at, line.delivered_at, line.ref)):
        key = _key(line, echoing)
        if (entry := charged.take(key)) is not None:
            found.pairs.append(Pair(line, entry))
        elif key in charged:
            found.duplicates.append(line)
        elif (attempt := uncharged.take(key)) is not None:
            found.unheard.append(Pair(line, attempt))
        elif (silence := silences.take(line)) is not None:
            found.unattributable.append(Pair(line, silence))
        else:
            found.unpaired.append(line)
    return found.books(charged.rest())


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
    duplicates: list[Line] = field(default_factory=list)
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

    def __init__(self, attempts: Iterable[Findable], echoing: Container[str]) -> None:
        self._left = {one.attempt_id: one for one in sorted(attempts, key=_age)}
        self._by_key: dict[Hashable, list[int]] = defaultdict(list)
        for attempt in self._left.values():
            for key in _keys(attempt, echoing):
                self._by_key[key].append(attempt.attempt_id)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._by_key

    def take(self, key: Hashable) -> Findable | None:
        for attempt_id in self._by_key.get(key, ()):
            if attempt_id in self._left:
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
        for one in sorted(silent, key=lambda one: (one.called_until, one.attempt_id)):
            self._by_person[one.account, one.recipient].append(one)

    def take(self, line: Line) -> Silent | None:
        candidates = self._by_person.get((line.account, line.recipient), [])
        for place, one in enumerate(candidates):
            if one.called_from <= line.accepted_at <= one.called_until:
                return candidates.pop(place)
        return None


def _agrees(pair: Pair[Entry]) -> bool:
    return pair.line.amount is not None and pair.line.amount == pair.ours.amount


def _age(attempt: Entry | Unconfirmed) -> tuple[dt.datetime, int]:
    return attempt.started_at, attempt.attempt_id


def _key(line: Line, echoing: Container[str]) -> Hashable:
    if line.client_ref is not None and line.account in echoing:
        return "ours", line.account, line.client_ref, line.recipient
    return "theirs", line.account, line.ref, line.recipient


def _keys(attempt: Entry | Unconfirmed, echoing: Container[str]) -> Sequence[Hashable]:
    where, whom = attempt.account, attempt.recipient
    theirs = [("theirs", where, ref, whom) for ref in attempt.provider_refs]
    if where in echoing:
        return [("ours", where, attempt.client_ref, whom), *theirs]
    return theirs
