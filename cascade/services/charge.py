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
    if not attempt_ids:
        return
    charges = priced(transaction, ledger, attempt_ids)
    transaction.book(charges)
    unrated = [charge.attempt_id for charge in charges if charge.rate_id is None]
    if unrated:
        log.error("deliveries were booked unrated", extra={"attempt_ids": unrated})


def priced(transaction: Transaction, ledger: Records, attempt_ids: Sequence[int]) -> list[Charge]:
    """What `charge` would book for these attempts."""
    rates = transaction.rate_book()
    return [_charge(ledger, rates, one) for one in transaction.delivered(attempt_ids)]


def _charge(ledger: Records, rates: RateBook, one: Delivered) -> Charge:
    price = _price(ledger, rates, one, (one.account, one.channel))
    return Charge(
        attempt_id=one.attempt_id,
        rate_id=None if price.rate is None else price.rate.id,
        amount=price.amount,
        units=price.units,
        occurred_at=one.delivered_at,
        sms_amount=_instead(ledger, rates, one, price),
    )


def _instead(ledger: Records, rates: RateBook, one: Delivered, price: _Price) -> Amount | None:
    """What an SMS of the same words to the same number would have cost."""
    if one.channel is Channel.SMS:
        return price.amount
    if one.sms_account is None:
        return None
    return _price(ledger, rates, one, (one.sms_account, Channel.SMS)).amount


def _price(
    ledger: Records, rates: RateBook, one: Delivered, through: tuple[str, Channel]
) -> _Price:
    """The price of `one` through an account on a channel: a delivery is never held up by it."""
    account, channel = through
    try:
        phone = open_recipient(ledger.keyring, one.message_id, one.recipient)
        rate = rates.rate_for(account=account, channel=channel, phone=phone, at=one.started_at)
        if rate is None or rate.unit is None:
            return _Price(None, 1)
        if rate.unit is not PriceUnit.SEGMENT:
            return _Price(rate, 1)
        content = open_content(ledger.keyring, one.message_id, one.content)
        return _Price(rate, rate.units(segments=segments(words_for(content, channel))))
    except _UNREADABLE:
        return _Price(None, 1)
