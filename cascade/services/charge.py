"""Charging what was delivered, in the transaction that makes it delivered."""

from __future__ import annotations

import logging

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cascade.domain.message import words_for
from cascade.domain.money import Amount, PriceUnit, Rate, RateBook, charge as cost
from cascade.domain.segments import segments
from cascade.domain.state import Channel
from cascade.services.deployment import Records
from cascade.services.sealed import open_content, open_recipient
from cascade.storage.charges import Charge, Delivered
from cascade.storage.sealing import UnsealableError
from cascade.storage.store import Transaction


log = logging.getLogger(__name__)

# What no price can be found out from: sealed by a lost key, a place without its value, half a
# surrogate pair.
_UNREADABLE = (UnsealableError, KeyError, ValueError)


class _Rated(NamedTuple):
    """A delivery with the rates in force: its own, and that of an SMS in its place."""

    one: Delivered
    rate: Rate | None
    sms_rate: Rate | None


def charge(transaction: Transaction, ledger: Records, attempt_ids: Sequence[int]) -> None:
    """Books one charge for each of these delivered attempts, and what an SMS would have cost
    instead; a repeat books nothing.
    """
    if attempt_ids:
        charge_all(transaction, ledger, transaction.delivered(attempt_ids))


def charge_all(transaction: Transaction, ledger: Records, delivered: Sequence[Delivered]) -> None:
    """`charge`, for what was read already."""
    if not delivered:
        return
    charges = _charges(transaction, ledger, delivered)
    transaction.book(charges)
    unrated = [charge.attempt_id for charge in charges if charge.rate_id is None]
    if unrated:
        log.error("deliveries were booked unrated", extra={"attempt_ids": unrated})


def priced(transaction: Transaction, ledger: Records, attempt_ids: Sequence[int]) -> list[Charge]:
    """What `charge` would book for these attempts."""
    return _charges(transaction, ledger, transaction.delivered(attempt_ids))


def _charges(
    transaction: Transaction, ledger: Records, delivered: Sequence[Delivered]
) -> list[Charge]:
    rates = transaction.rate_book()
    rated = [_rated(ledger, rates, one) for one in delivered]
    uncounted = sorted(set(_uncounted(rated)))
    contents = transaction.contents(uncounted) if uncounted else {}
    return [_charge(ledger, one, contents) for one in rated]


def _rated(ledger: Records, rates: RateBook, one: Delivered) -> _Rated:
    phone = _phone(ledger, one)
    if phone is None:
        return _Rated(one, None, None)
    at = one.started_at
    rate = rates.rate_for(account=one.account, channel=one.channel, phone=phone, at=at)
    if one.channel is Channel.SMS:
        return _Rated(one, rate, rate)
    if one.sms_account is None:
        return _Rated(one, rate, None)
    sms = rates.rate_for(account=one.sms_account, channel=Channel.SMS, phone=phone, at=at)
    return _Rated(one, rate, sms)


def _phone(ledger: Records, one: Delivered) -> str | None:
    try:
        return open_recipient(ledger.keyring, one.message_id, one.recipient)
    except _UNREADABLE:
        return None


def _uncounted(rated: Sequence[_Rated]) -> Iterator[str]:
    """The messages whose words must be looked at to price them."""
    for one, rate, sms_rate in rated:
        if _asks_for_words(rate, one) or _asks_for_words(sms_rate, one):
            yield one.message_id


def _asks_for_words(rate: Rate | None, one: Delivered) -> bool:
    if rate is None or rate.unit is not PriceUnit.SEGMENT:
        return False
    return one.segments is None or rate.channel is not Channel.SMS


def _charge(ledger: Records, rated: _Rated, contents: Mapping[str, bytes]) -> Charge:
    one, rate, sms_rate = rated
    units = _units(ledger, one, rate, contents)
    amount = _amount(rate, units)
    is_sms = one.channel is Channel.SMS
    sms_units = units if is_sms else _units(ledger, one, sms_rate, contents)
    return Charge(
        attempt_id=one.attempt_id,
        rate_id=None if amount is None or rate is None else rate.id,
        amount=amount,
        units=units or 1,
        occurred_at=one.delivered_at,
        sms_amount=amount if is_sms else _amount(sms_rate, sms_units),
    )


def _amount(rate: Rate | None, units: int | None) -> Amount | None:
    return None if rate is None or units is None else cost(rate, units=units)


def _units(
    ledger: Records, one: Delivered, rate: Rate | None, contents: Mapping[str, bytes]
) -> int | None:
    """How many units of the rate it takes; None if nobody can tell: a delivery is never held up."""
    if rate is None or rate.unit is None:
        return None
    if not _asks_for_words(rate, one):
        return rate.units(segments=one.segments or 1)
    try:
        content = open_content(ledger.keyring, one.message_id, contents[one.message_id])
        return rate.units(segments=segments(words_for(content, rate.channel)))
    except _UNREADABLE:
        return None
