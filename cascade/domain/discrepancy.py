"""What does not agree in the books, and what would mend it. Nothing here changes anything.

Each contradiction has one kind, however many of its traces are seen: a delivery that no receipt
told of is not also a delivery without a charge.
"""

from __future__ import annotations

import datetime as dt
import uuid

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from cascade.domain.books import Books, Line
from cascade.domain.money import Amount
from cascade.domain.state import AttemptState


class Kind(StrEnum):
    """Of what two sides contradict each other. The first six need a provider's record."""

    BILLED_NOT_DELIVERED = "billed_not_delivered"  # a line that is nothing of ours
    DELIVERED_NOT_BILLED = "delivered_not_billed"  # a charge without a line
    PRICE_DIFFERS = "price_differs"  # between the line and what is booked
    UNATTRIBUTABLE = "unattributable"  # a line that an ambiguous call explains
    UNHEARD = "unheard"  # a line of an attempt that no receipt called delivered
    DUPLICATE = "duplicate"  # a second line of one attempt
    NOT_CHARGED = "not_charged"  # delivered, and told so, without a charge
    CHARGE_WITHOUT_DELIVERY = "charge_without_delivery"
    DELIVERY_WITHOUT_RECEIPT = "delivery_without_receipt"
    RECEIPT_WITHOUT_EFFECT = "receipt_without_effect"  # applied, and the attempt did not move
    RATE_DIFFERS = "rate_differs"  # the charge is not what its rate says
    UNRATED = "unrated"  # a charge without an amount
    RECEIPT_SET_ASIDE = "receipt_set_aside"  # of a delivery; no attempt was found for it


@dataclass(frozen=True, slots=True)
class Hear:
    """The receipt that is missing; `ref` is the provider's, if it is known."""

    state: AttemptState
    ref: str | None
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Correct:
    """What is to be booked besides the charge, never two of one currency."""

    amounts: tuple[Amount, ...]


@dataclass(frozen=True, slots=True)
class Charge:
    """The charge that is missing is booked at its rate."""


@dataclass(frozen=True, slots=True)
class Price:
    """The amount that is missing is booked, once a rate says it."""


Remedy = Hear | Correct | Charge | Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What our books hold of one attempt. It is told of by a receipt that calls it delivered."""

    attempt_id: int
    message_id: uuid.UUID
    account: str
    client_ref: str
    called_at: dt.datetime  # the first call
    delivered_at: dt.datetime | None
    is_live: bool  # a receipt may still come by itself
    is_delivered: bool
    is_told: bool
    unmoved_by: AttemptState | None  # an applied receipt says more than its state
    is_charged: bool
    charged: Amount | None  # the charge alone
    expected: Amount | None  # what the charge's rate and units make
    is_rated_right: bool  # its amount, and its rate one of this account and time
    is_corrected: bool
    booked: tuple[Amount, ...]  # the charge and its corrections, by currency, without zeros
    is_covered: bool  # a record tells of its account and time
    is_agreed: bool  # with exactly one line of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One contradiction; `remedy` is None where a person must look."""

    kind: Kind
    account: str
    at: dt.datetime  # of the first call; of a line alone: when the provider accepted it
    message_id: uuid.UUID | None = None
    attempt_id: int | None = None
    client_ref: str | None = field(default=None, repr=False)
    ref: str | None = None  # of the provider's line
    booked: tuple[Amount, ...] = ()  # by us
    billed: Amount | None = None  # by the provider, or what it should be
    remedy: Remedy | None = None


def discrepancies(posted: Iterable[Posted], books: Books) -> list[Discrepancy]:
    """All that contradicts itself within our books, and all that `books` could not pair."""
    lines = _by_attempt(books)
    silent = {pair.ours.attempt_id for pair in books.unattributable}
    found: list[Discrepancy] = []
    for one in posted:
        if one.attempt_id in silent:
            found += _unattributable(one, lines[one.attempt_id])
        else:
            found += _of(one, lines.get(one.attempt_id, []))
    found += [_alone(line) for line in books.unpaired_lines]
    return sorted(found, key=lambda one: (one.at, one.attempt_id or 0, one.kind, one.ref or ""))


def difference(wanted: Amount | None, booked: Iterable[Amount]) -> tuple[Amount, ...]:
    """What is to be added to `booked` to make it `wanted`; None counts as nothing."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    if wanted is not None:
        sums[wanted.currency] += wanted.value
    for amount in booked:
        sums[amount.currency] -= amount.value
    return tuple(Amount(value, currency) for currency, value in sums.items() if value)


def _by_attempt(books: Books) -> dict[int, list[Line]]:
    """The lines of each attempt, the one that it was paired with first."""
    lines: dict[int, list[Line]] = defaultdict(list)
    for pair in (*books.matched, *books.differing, *books.duplicates):
        lines[pair.ours.attempt_id].append(pair.line)
    for unheard in books.unheard:
        lines[unheard.ours.attempt_id].append(unheard.line)
    for silent in books.unattributable:
        lines[silent.ours.attempt_id].append(silent.line)
    return lines


def _of(one: Posted, lines: Sequence[Line]) -> Iterator[Discrepancy]:
    if one.is_delivered:
        yield from _of_delivered(one, lines)
    else:
        yield from _of_undelivered(one, lines)
    if one.is_charged and (lines or (one.is_delivered and one.is_told)):
        yield from _of_money(one, lines)


def _of_delivered(one: Posted, lines: Sequence[Line]) -> Iterator[Discrepancy]:
    if one.is_told:
        if not one.is_charged:
            yield _found(Kind.NOT_CHARGED, one, remedy=Charge())
    elif lines or one.is_agreed:  # the provider's record is the witness
        yield _found(Kind.DELIVERY_WITHOUT_RECEIPT, one, remedy=_heard(one, lines))
    elif not one.is_corrected:
        remedy = _taken_back(one) if one.is_covered else None
        yield _found(Kind.DELIVERY_WITHOUT_RECEIPT, one, remedy=remedy)


def _of_undelivered(one: Posted, lines: Sequence[Line]) -> Iterator[Discrepancy]:
    if one.unmoved_by is not None:
        heard = Hear(one.unmoved_by, _ref(lines), one.delivered_at or one.called_at)
        yield _found(Kind.RECEIPT_WITHOUT_EFFECT, one, remedy=heard)
    elif lines:
        if not one.is_live:
            heard = _heard(one, lines)
            yield _found(Kind.UNHEARD, one, ref=_ref(lines), billed=lines[0].amount, remedy=heard)
    elif one.is_charged and (one.booked or not one.is_corrected):
        yield _found(Kind.CHARGE_WITHOUT_DELIVERY, one, remedy=_taken_back(one))


def _heard(one: Posted, lines: Sequence[Line]) -> Hear:
    at = lines[0].delivered_at if lines else one.delivered_at or one.called_at
    return Hear(AttemptState.DELIVERED, _ref(lines), at)


def _ref(lines: Sequence[Line]) -> str | None:
    return lines[0].ref or None if lines else None


def _taken_back(one: Posted) -> Correct | None:
    return Correct(difference(None, one.booked)) if one.booked else None


def _of_money(one: Posted, lines: Sequence[Line]) -> Iterator[Discrepancy]:
    if one.is_corrected:
        yield from _of_corrected(one, lines)
        return
    if one.charged is None:
        yield _unrated(one, lines)
    elif lines and lines[0].amount != one.charged:
        yield _priced(one, lines[0], lines[0].amount)
    elif _is_unbilled(one, lines):
        yield _found(Kind.DELIVERED_NOT_BILLED, one, remedy=_taken_back(one))
    elif not one.is_rated_right:
        yield _misrated(one, is_billed=bool(lines) or one.is_agreed)
    for line in lines[1:]:
        remedy = _corrected(line.amount, ())
        yield _found(Kind.DUPLICATE, one, ref=line.ref, billed=line.amount, remedy=remedy)


def _misrated(one: Posted, *, is_billed: bool) -> Discrepancy:
    """What the provider bills is right, whatever our rate says."""
    remedy = None if is_billed else _corrected(one.expected, one.booked)
    return _found(Kind.RATE_DIFFERS, one, billed=one.expected, remedy=remedy)


def _of_corrected(one: Posted, lines: Sequence[Line]) -> Iterator[Discrepancy]:
    """After a correction only the sums must agree."""
    if lines:
        billed = _sum(lines)
        if billed is None or difference(billed, one.booked):
            yield _priced(one, lines[0], billed)
    elif _is_unbilled(one, lines):
        yield _found(Kind.DELIVERED_NOT_BILLED, one, remedy=_taken_back(one))


def _is_unbilled(one: Posted, lines: Sequence[Line]) -> bool:
    return one.is_covered and bool(one.booked) and not (lines or one.is_agreed)


def _unattributable(one: Posted, lines: Sequence[Line]) -> Iterator[Discrepancy]:
    [line] = lines
    if line.amount is not None and not difference(line.amount, one.booked):
        return
    if one.is_corrected:
        yield _priced(one, line, line.amount)
        return
    remedy = _corrected(line.amount, ())
    yield _found(Kind.UNATTRIBUTABLE, one, ref=line.ref, billed=line.amount, remedy=remedy)


def _unrated(one: Posted, lines: Sequence[Line]) -> Discrepancy:
    billed = lines[0].amount if lines else None
    remedy = Price() if billed is None else Correct((billed,))
    return _found(Kind.UNRATED, one, ref=_ref(lines), billed=billed, remedy=remedy)


def _priced(one: Posted, line: Line, billed: Amount | None) -> Discrepancy:
    remedy = _corrected(billed, one.booked)
    return _found(Kind.PRICE_DIFFERS, one, ref=line.ref, billed=billed, remedy=remedy)


def _corrected(wanted: Amount | None, booked: Iterable[Amount]) -> Correct | None:
    """None where nothing says what is wanted: a line without a price proves nothing."""
    amounts = () if wanted is None else difference(wanted, booked)
    return Correct(amounts) if amounts else None


def _sum(lines: Sequence[Line]) -> Amount | None:
    """All of one currency, each with an amount; else None."""
    amounts = [line.amount for line in lines]
    currencies = {None if one is None else one.currency for one in amounts}
    if len(currencies) != 1 or None in currencies:
        return None
    value = sum((one.value for one in amounts if one is not None), Decimal(0))
    return Amount(value, str(currencies.pop()))


def _found(
    kind: Kind,
    one: Posted,
    *,
    remedy: Remedy | None,
    ref: str | None = None,
    billed: Amount | None = None,
) -> Discrepancy:
    return Discrepancy(
        kind=kind,
        account=one.account,
        at=one.called_at,
        message_id=one.message_id,
        attempt_id=one.attempt_id,
        client_ref=one.client_ref,
        ref=ref or None,
        booked=one.booked,
        billed=billed,
        remedy=remedy,
    )


def _alone(line: Line) -> Discrepancy:
    return Discrepancy(
        kind=Kind.BILLED_NOT_DELIVERED,
        account=line.account,
        at=line.accepted_at,
        ref=line.ref or None,
        billed=line.amount,
    )
