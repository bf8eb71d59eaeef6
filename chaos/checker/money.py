"""The books: every delivered line of the providers' records against one charge of ours."""

from __future__ import annotations

import math

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from chaos.checker.evidence import EXAMPLES, Evidence, Finding, finding
from chaos.checker.ledger import Bill, Key, delivers
from chaos.checker.tables import Attempt, Charge


# Its receipts carry only its own reference: what it took without our hearing it, they cannot find.
_BLIND = frozenset({"devino-viber"})
_KOPECKS = 100


@dataclass(slots=True)
class Sums:
    """Of one account in one currency; `elsewhere` is what other counts name."""

    billed: Decimal = Decimal()
    charged: Decimal = Decimal()
    unattributable: Decimal = Decimal()
    unheard: Decimal = Decimal()
    duplicates: Decimal = Decimal()
    elsewhere: Decimal = Decimal()

    @property
    def difference(self) -> Decimal:
        """What nothing explains."""
        explained = self.unattributable + self.unheard + self.duplicates + self.elsewhere
        return self.billed - self.charged - explained


@dataclass(slots=True)
class Books:
    """The comparison, line by line."""

    sums: dict[tuple[str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    not_charged: list[str] = field(default_factory=list)
    unattributable: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    off_by: Decimal = Decimal()  # without regard to sign, so that no two lines cancel

    @property
    def sum_difference(self) -> Finding:
        """In kopecks, a broken one counted as a whole one."""
        return Finding(math.ceil(self.off_by * _KOPECKS), tuple(self.differing[:EXAMPLES]))


def charged_twice(evidence: Evidence) -> Finding:
    """Attempts with more than one charge."""
    return finding(
        f"attempt {attempt_id}: {len(charges)} charges"
        for attempt_id, charges in evidence.tables.charges_by_attempt().items()
        if len(charges) > 1
    )


def compare(evidence: Evidence) -> Books:
    """Pairs bills with charges by account and reference.

    A fault is counted under one name only: what is billed and not charged, charged twice, sent
    twice or sent without an intent makes no difference of the sums besides.
    """
    books = Books()
    attempts = evidence.tables.by_key()
    charged = _charged(evidence)
    for key, bills in evidence.ledger.bills.items():
        attempt = attempts.get(key)
        if attempt is None:
            _name_elsewhere(books, bills)
        elif attempt.id in charged:
            _pair(books, bills, charged.pop(attempt.id), evidence)
        else:
            _name_more(books, bills[1:], evidence)
            _explain(books, bills[0], attempt, evidence)
    for attempt_id, charges in charged.items():
        _unpaired(books, evidence.tables.attempts[attempt_id], charges)
    return books


def _charged(evidence: Evidence) -> dict[int, list[Charge]]:
    """By attempts: the first charge of each, and what corrects it."""
    found = {one: charges[:1] for one, charges in evidence.tables.charges_by_attempt().items()}
    for correction in evidence.tables.corrections:
        found.setdefault(correction.attempt_id, []).append(correction)
    return found


def _name_elsewhere(books: Books, bills: list[Bill]) -> None:
    for bill in bills:
        sums = books.sums[bill.key.account, bill.currency]
        sums.billed += bill.amount
        sums.elsewhere += bill.amount


def _name_more(books: Books, bills: list[Bill], evidence: Evidence) -> None:
    """Bills of an attempt beyond its first: duplicates that were asked for, or second sends."""
    for bill in bills:
        sums = books.sums[bill.key.account, bill.currency]
        sums.billed += bill.amount
        if bill.key.account in evidence.at_least_once:
            sums.duplicates += bill.amount
        else:
            sums.elsewhere += bill.amount


def _pair(books: Books, bills: list[Bill], charges: list[Charge], evidence: Evidence) -> None:
    """The charge is for the first bill, if corrections have not paid for all of them."""
    paid = _book(books, bills[0].key, charges)
    owed = _owed(bills)
    if paid != owed:
        _name_more(books, bills[1:], evidence)
        bills, owed = bills[:1], _owed(bills[:1])
    for bill in bills:
        books.sums[bill.key.account, bill.currency].billed += bill.amount
    if paid != owed:
        _differ(books, bills[0].key, owed, paid)


def _owed(bills: list[Bill]) -> dict[str, Decimal]:
    owed: dict[str, Decimal] = {}
    for bill in bills:
        owed[bill.currency] = owed.get(bill.currency, Decimal()) + bill.amount
    return owed


def _explain(books: Books, bill: Bill, attempt: Attempt, evidence: Evidence) -> None:
    """Why a delivered attempt was not charged."""
    sums = books.sums[bill.key.account, bill.currency]
    sums.billed += bill.amount
    what = f"attempt {attempt.id} ({bill.key}): {bill.amount} {bill.currency}"
    if _is_unattributable(attempt, evidence):
        sums.unattributable += bill.amount
        books.unattributable.append(what)
    elif _is_unheard(attempt, evidence):
        sums.unheard += bill.amount
        books.unheard.append(what)
    else:
        sums.elsewhere += bill.amount
        books.not_charged.append(what)


def _is_unattributable(attempt: Attempt, evidence: Evidence) -> bool:
    if attempt.key.account not in _BLIND or attempt.unknown_at is None:
        return False
    return all(one.attempt_id != attempt.id for one in evidence.tables.refs)


def _is_unheard(attempt: Attempt, evidence: Evidence) -> bool:
    """Whether the provider has given up telling of the delivery, and nobody has told of it."""
    ledger = evidence.ledger
    if not delivers(ledger.unheard[attempt.key]):
        return False
    told = {one.word for one in ledger.told[attempt.key]}
    in_inbox = any(
        one.attempt_id == attempt.id and delivers([one.status]) for one in evidence.tables.receipts
    )
    return not delivers(told) and not in_inbox


def _unpaired(books: Books, attempt: Attempt, charges: list[Charge]) -> None:
    """Charges of what no provider has delivered."""
    paid = _book(books, attempt.key, charges)
    if any(paid.values()):
        _differ(books, attempt.key, {}, paid)


def _book(books: Books, key: Key, charges: list[Charge]) -> dict[str, Decimal]:
    """Adds charges to the sums; their total by currency, in which an unrated one has no part."""
    paid: dict[str, Decimal] = {}
    for amount, currency in _rated(charges):
        paid[currency] = paid.get(currency, Decimal()) + amount
        books.sums[key.account, currency].charged += amount
    return paid


def _rated(charges: list[Charge]) -> Iterator[tuple[Decimal, str]]:
    for charge in charges:
        if charge.amount is not None and charge.currency is not None:
            yield charge.amount, charge.currency


def _differ(books: Books, key: Key, owed: dict[str, Decimal], paid: dict[str, Decimal]) -> None:
    for currency in sorted({*owed, *paid}):
        billed, charged = owed.get(currency, Decimal()), paid.get(currency, Decimal())
        books.off_by += abs(billed - charged)
        books.differing.append(f"{key}: billed {billed}, charged {charged} {currency}")
