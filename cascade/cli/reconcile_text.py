"""What reconciling found, for a person at a terminal."""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from cascade.cli.figures import money
from cascade.cli.funnel import grouped
from cascade.cli.output import table
from cascade.domain.discrepancy import Discrepancy, Kind
from cascade.domain.money import Amount
from cascade.services.reconcile import Reconciled
from cascade.services.repair import Repaired


SHOWN = 10  # of each kind

WORDS = {
    Kind.BILLED_NOT_DELIVERED: "billed, and nothing of ours: ask the provider",
    Kind.DELIVERED_NOT_BILLED: "delivered and charged, and not billed",
    Kind.PRICE_DIFFERS: "booked and billed at different prices",
    Kind.UNATTRIBUTABLE: "billed, and explained by a call whose answer was lost",
    Kind.UNHEARD: "billed, and no receipt told of the delivery",
    Kind.DUPLICATE: "billed again for the same attempt",
    Kind.NOT_CHARGED: "delivered, without a charge",
    Kind.CHARGE_WITHOUT_DELIVERY: "charged, and never delivered",
    Kind.DELIVERY_WITHOUT_RECEIPT: "called delivered, and no receipt says so",
    Kind.RECEIPT_WITHOUT_EFFECT: "a receipt was applied that did not move its attempt",
    Kind.RATE_DIFFERS: "charged another amount than its rate makes",
    Kind.UNRATED: "charged without an amount: no rate was in force",
    Kind.RECEIPT_SET_ASIDE: "a receipt of a delivery found no attempt",
}

_COLUMNS = ("account", "called", "message", "attempt", "reference", "booked", "billed")


def render(found: Reconciled, done: Repaired | None) -> RenderableType:
    """The period, what was written, and each kind with its first discrepancies."""
    parts: list[RenderableType] = [Text(line) for line in _said(found, done)]
    for kind in Kind:
        some = [one for one in found.found if one.kind is kind]
        if some:
            more = f", the first {SHOWN} of them" if len(some) > SHOWN else ""
            title = f"{kind.value}: {grouped(len(some))}{more}. {WORDS[kind].capitalize()}."
            parts += ["", Text(title, style="bold"), table(_COLUMNS, map(_row, some[:SHOWN]))]
    return Group(*parts)


def _said(found: Reconciled, done: Repaired | None) -> Iterator[str]:
    yield f"Attempts called from {_moment(found.period.since)} to {_moment(found.period.until)}"
    if found.lines or found.outside:
        outside = f"; {grouped(found.outside)} are of another time" if found.outside else ""
        lines, agreed = grouped(found.lines), grouped(found.agreed)
        yield f"{lines} lines of the record, {agreed} agree with their charge{outside}"
    if done is not None:
        written = ", ".join(f"{grouped(n)} {what}" for what, n in done.written.items() if n)
        yield f"Written: {written or 'nothing'}"
    yield f"{grouped(len(found.found))} discrepancies" if found.found else "The books agree"


def _row(one: Discrepancy) -> tuple[object, ...]:
    billed = None if one.billed is None else _money(one.billed)
    booked = " and ".join(map(_money, one.booked)) or None
    return one.account, _moment(one.at), one.message_id, one.attempt_id, one.ref, booked, billed


def _money(amount: Amount) -> str:
    return money(amount.value, amount.currency)


def _moment(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
