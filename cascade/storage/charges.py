"""Rates and charges: one charge per delivered attempt, by a unique constraint."""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from cascade.domain.errors import ConfigurationError
from cascade.domain.money import Amount, PriceUnit, Rate, RateBook
from cascade.domain.policy import Policy
from cascade.domain.state import Channel
from cascade.storage.database import CLOCK
from cascade.storage.members import CHANNELS
from cascade.storage.policies import PolicyVersions
from cascade.storage.rows import as_ids, as_rows


class Delivered(NamedTuple):
    """What a price depends on."""

    attempt_id: int
    message_id: str
    account: str
    channel: Channel
    started_at: dt.datetime  # the rate in force at the first call counts
    delivered_at: dt.datetime
    recipient: bytes  # sealed
    segments: int | None  # SMS that carry its words, where they were counted
    sms_account: str | None  # of the policy's SMS step, else of the channel; None: there is none


class Charge(NamedTuple):
    """The cost of one delivered attempt, and that of an SMS in its place; None where no rate says."""

    attempt_id: int
    rate_id: int | None
    amount: Amount | None
    units: int
    occurred_at: dt.datetime
    sms_amount: Amount | None


_DELIVERED = text("""
    SELECT a.id, CAST(a.message_id AS text) AS message_id, a.account, a.channel, a.delivered_at,
        coalesce(a.started_at, a.created_at) AS started_at, m.recipient, m.segments,
        m.policy_id, (SELECT account FROM cascade.channels WHERE channel = 'sms') AS sms_account
    FROM cascade.attempts a JOIN cascade.messages m ON m.id = a.message_id
    WHERE a.id = ANY(CAST(:ids AS bigint[]))
""")

_CONTENTS = text("""
    SELECT CAST(id AS text) AS id, content FROM cascade.messages
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")

# The clock is read once for all of them: by the column's default it would be once for each.
_BOOK = text(f"""
    INSERT INTO cascade.charges (attempt_id, rate_id, amount, currency, units, occurred_at,
        booked_at, sms_amount, sms_currency)
    SELECT attempt_id, rate_id, amount, currency, units, occurred_at, {CLOCK}, sms_amount,
        sms_currency
    FROM json_to_recordset(CAST(:rows AS json)) AS r(attempt_id bigint, rate_id bigint,
        amount numeric(14,6), currency text, units integer, occurred_at timestamptz,
        sms_amount numeric(14,6), sms_currency text)
    ON CONFLICT (attempt_id) DO NOTHING
""")  # noqa: S608  # a constant

_SYNC = text("""
    INSERT INTO cascade.rates (account, channel, prefix, unit, price, currency, valid_from)
    SELECT account, channel, prefix, unit, price, currency, valid_from
    FROM json_to_recordset(CAST(:rows AS json)) AS r(account text, channel text, prefix text,
        unit text, price numeric(14,6), currency text, valid_from timestamptz)
    ON CONFLICT (account, channel, prefix, valid_from) DO NOTHING
""")


_CHANGED = text("""
    SELECT s.account, s.prefix, s.valid_from
    FROM json_to_recordset(CAST(:rows AS json)) AS r(account text, channel text, prefix text,
        unit text, price numeric(14,6), currency text, valid_from timestamptz)
    JOIN cascade.rates s USING (account, channel, prefix, valid_from)
    WHERE (s.unit, s.price, s.currency) IS DISTINCT FROM (r.unit, r.price, r.currency)
    LIMIT 1
""")


class Rates:
    """The rates of the database, read again only when some were added."""

    def __init__(self) -> None:
        self._count: int | None = None
        self._book = RateBook(())

    def book(self, connection: Connection) -> RateBook:
        """All rates, ready to be asked."""
        # Not the highest id: a lower one may become visible after it.
        count = connection.execute(text("SELECT count(*) FROM cascade.rates")).scalar_one()
        if count != self._count:
            self._book = RateBook(_read(connection))
            self._count = count
        return self._book


def _read(connection: Connection) -> Iterable[Rate]:
    rows = connection.execute(
        text(
            "SELECT id, account, channel, prefix, unit, price, currency, valid_from"
            " FROM cascade.rates WHERE channel = ANY(:channels)"
        ),
        {"channels": list(Channel)},  # newer code may know more of them
    )
    for row in rows:
        yield Rate(
            id=row.id,
            account=row.account,
            channel=Channel(row.channel),
            prefix=row.prefix,
            # A rate that newer code wrote stays: an older one in its place would be wrong.
            unit=PriceUnit(row.unit) if row.unit in tuple(PriceUnit) else None,
            price=row.price,
            currency=row.currency,
            valid_from=row.valid_from,
        )


def sync_rates(connection: Connection, rates: Sequence[Rate]) -> int:
    """Adds the rates that are not there yet; returns how many.

    Raises ConfigurationError if a stored rate would change: charges were made by it.
    """
    rows = as_rows(
        {
            "account": rate.account,
            "channel": rate.channel,
            "prefix": rate.prefix,
            "unit": rate.unit,
            "price": str(rate.price),
            "currency": rate.currency,
            "valid_from": rate.valid_from,
        }
        for rate in rates
    )
    changed = connection.execute(_CHANGED, {"rows": rows}).first()
    if changed is not None:
        raise ConfigurationError(
            f"rates.csv, {changed.account} {changed.prefix} from {changed.valid_from:%Y-%m-%d}",
            "it was changed after it came into the database",
            "leave it as it was, and add a row with a later valid_from",
        )
    return connection.execute(_SYNC, {"rows": rows}).rowcount


def delivered(
    connection: Connection, attempt_ids: Iterable[int], versions: PolicyVersions
) -> list[Delivered]:
    """What the prices of these attempts depend on."""
    rows = connection.execute(_DELIVERED, {"ids": as_ids(attempt_ids)}).all()
    policies = versions.load(connection, (row.policy_id for row in rows))
    through = {one: sms_account_of(policy) for one, policy in policies.items()}
    return [
        Delivered(
            attempt_id=row.id,
            message_id=row.message_id,
            account=row.account,
            channel=CHANNELS[row.channel],
            started_at=row.started_at,
            delivered_at=row.delivered_at,
            recipient=bytes(row.recipient),
            segments=row.segments,
            sms_account=through[row.policy_id] or row.sms_account,
        )
        for row in rows
    ]


def contents(connection: Connection, message_ids: Iterable[str]) -> dict[str, bytes]:
    """The sealed contents of these messages, by their ids as text."""
    rows = connection.execute(_CONTENTS, {"ids": as_ids(message_ids)})
    return {row.id: bytes(row.content) for row in rows}


def sms_account_of(policy: Policy) -> str | None:
    """That of its SMS step, if it has one."""
    accounts = (step.account for step in policy.steps if step.channel is Channel.SMS)
    return next(accounts, None)


def book(connection: Connection, charges: Sequence[Charge]) -> None:
    """Books each charge once: an attempt that has one keeps it."""
    rows = as_rows(
        {
            "attempt_id": charge.attempt_id,
            "rate_id": charge.rate_id,
            "amount": None if charge.amount is None else str(charge.amount.value),
            "currency": None if charge.amount is None else charge.amount.currency,
            "units": charge.units,
            "occurred_at": charge.occurred_at,
            "sms_amount": None if charge.sms_amount is None else str(charge.sms_amount.value),
            "sms_currency": None if charge.sms_amount is None else charge.sms_amount.currency,
        }
        for charge in sorted(charges, key=lambda charge: charge.attempt_id)
    )
    connection.execute(_BOOK, {"rows": rows})
