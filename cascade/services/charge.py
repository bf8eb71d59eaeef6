"""Charging what was delivered, in the transaction that makes it delivered."""

from __future__ import annotations

import logging

from collections.abc import Sequence

from sqlalchemy import Connection

from cascade.domain.money import PriceUnit, RateBook, charge as cost
from cascade.domain.segments import segments
from cascade.services.deployment import Ledger
from cascade.services.sealed import open_content, open_recipient
from cascade.storage.charges import Charge, Delivered, book, delivered


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
        log.error("deliveries without a rate were booked unrated", extra={"attempts": unrated})


def _charge(ledger: Ledger, rates: RateBook, one: Delivered) -> Charge:
    rate = rates.rate_for(
        account=one.account,
        channel=one.channel,
        phone=open_recipient(ledger.keyring, one.message_id, one.recipient),
        at=one.started_at,
    )
    units = 1
    if rate is not None and rate.unit is PriceUnit.SEGMENT:
        content = open_content(ledger.keyring, one.message_id, one.content)
        units = rate.units(segments=segments(content.words()))
    amount = cost(rate, units=units) if rate is not None else None
    return Charge(
        attempt_id=one.attempt_id,
        rate_id=rate.id if rate is not None else None,
        amount=amount.value if amount is not None else None,
        currency=amount.currency if amount is not None else None,
        units=units,
        occurred_at=one.delivered_at,
    )
