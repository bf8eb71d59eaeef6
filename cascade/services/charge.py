"""Charging what was delivered, in the transaction that makes it delivered."""

from __future__ import annotations

import logging

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class _Price:
    """What an attempt costs, or would cost; without a rate it has no amount."""

    rate: Rate | None
    units: int

    @property
    def amount(self) -> Amount | None:
        return None if self.rate is None else cost(self.rate, units=self.units)


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
    rates = transaction.rate_book()
    charges = [_charge(ledger, rates, one) for one in delivered]
    transaction.book(charges)
    unrated = [charge.attempt_id for charge in charges if charge.rate_id is None]
    if unrated:
        log.error("deliveries were booked unrated", extra={"attempt_ids": unrated})


def priced(transaction: Transaction, ledger: Records, attempt_ids: Sequence[int]) -> list[Charge]:
    """What `charge` would book for these attempts."""
    rates = transaction.rate_book()
    return [_charge(ledger, rates, one) for one in transaction.delivered(attempt_ids)]


def _charge(ledger: Records, rates: RateBook, one: Delivered) -> Charge:
    phone = _phone(ledger, one)
    price = _price(ledger, one, _rate(rates, one, phone, (one.account, one.channel)))
    return Charge(
        attempt_id=one.attempt_id,
        rate_id=None if price.rate is None else price.rate.id,
        amount=price.amount,
        units=price.units,
        occurred_at=one.delivered_at,
        sms_amount=price.amount
        if one.channel is Channel.SMS
        else _instead(ledger, one, rates, phone),
    )


def _instead(ledger: Records, one: Delivered, rates: RateBook, phone: str | None) -> Amount | None:
    """What an SMS of the same words to the same number would have cost."""
    if one.sms_account is None:
        return None
    return _price(ledger, one, _rate(rates, one, phone, (one.sms_account, Channel.SMS))).amount


def _phone(ledger: Records, one: Delivered) -> str | None:
    try:
        return open_recipient(ledger.keyring, one.message_id, one.recipient)
    except _UNREADABLE:
        return None


def _rate(
    rates: RateBook, one: Delivered, phone: str | None, through: tuple[str, Channel]
) -> Rate | None:
    """That of one's number through an account on a channel."""
    if phone is None:
        return None
    account, channel = through
    return rates.rate_for(account=account, channel=channel, phone=phone, at=one.started_at)


def _price(ledger: Records, one: Delivered, rate: Rate | None) -> _Price:
    """The price of `one` by this rate: a delivery is never held up by it."""
    if rate is None or rate.unit is None:
        return _Price(None, 1)
    if rate.unit is not PriceUnit.SEGMENT:
        return _Price(rate, 1)
    try:
        content = open_content(ledger.keyring, one.message_id, one.content)
        return _Price(rate, rate.units(segments=segments(words_for(content, rate.channel))))
    except _UNREADABLE:
        return _Price(None, 1)
