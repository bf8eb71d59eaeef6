"""Charging what was delivered, in the transaction that makes it delivered."""

from __future__ import annotations

import logging

from collections.abc import Sequence

from sqlalchemy import Connection

from cascade.domain.money import PriceUnit, Rate, RateBook, charge as cost
from cascade.domain.segments import segments
from cascade.services.deployment import Ledger
from cascade.services.sealed import open_content, open_recipient
from cascade.storage.charges import Charge, Delivered, book, delivered
from cascade.storage.sealing import UnsealableError


log = logging.getLogger(__name__)


def charge(connection: Connection, ledger: Ledger, attempt_ids: Sequence[int]) -> None:
    """Books one charge for each of these delivered attempts; a repeat books nothing."""
    if not attempt_ids:
        return
    rates = ledger.rates.book(connection)
    charges = [_charge(ledger, rates, one) for one in delivered(connection, attempt_ids)]
    book(connection, charges)
    unrated = [charge.attempt_id for charge in charges if charge.rate_id is None]
    if unrated:
        log.error("deliveries were booked unrated, attempts %s", unrated)


def _charge(ledger: Ledger, rates: RateBook, one: Delivered) -> Charge:
    try:
        rate, units = _rate_and_units(ledger, rates, one)
    except UnsealableError:  # a delivery is never held up by a price
        rate, units = None, 1
    amount = cost(rate, units=units) if rate is not None else None
    return Charge(
        attempt_id=one.attempt_id,
        rate_id=rate.id if rate is not None else None,
        amount=amount.value if amount is not None else None,
        currency=amount.currency if amount is not None else None,
        units=units,
        occurred_at=one.delivered_at,
    )


def _rate_and_units(ledger: Ledger, rates: RateBook, one: Delivered) -> tuple[Rate | None, int]:
    rate = rates.rate_for(
        account=one.account,
        channel=one.channel,
        phone=open_recipient(ledger.keyring, one.message_id, one.recipient),
        at=one.started_at,
    )
    if rate is None or rate.unit is not PriceUnit.SEGMENT:
        return rate, 1
    content = open_content(ledger.keyring, one.message_id, one.content)
    return rate, rate.units(segments=segments(content.words()))
