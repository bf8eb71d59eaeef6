"""Finished books that balance, made by the real services, with the record of their providers; and
discrepancies that are put into them behind everybody's back.
"""

from __future__ import annotations

import csv
import random

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cascade import Row
from cascade.channels.base import Accepted, Receipt
from cascade.domain.discrepancy import Kind
from cascade.domain.record import Form
from cascade.domain.state import AttemptState, Channel
from cascade.services.collect import collect
from cascade.services.deployment import LEASE
from cascade.services.reconcile import Question, Reconciled, hashed_by, reconcile
from cascade.services.repair import Repaired, repair
from cascade.services.sealed import open_recipient
from cascade.storage.claim import Claimed, claim
from cascade.storage.database import transaction
from cascade.storage.reconciling import Period
from tests.services.journey import WORDS, Journey, a_step


HEADER = (
    "account",
    "ref",
    "client_ref",
    "recipient",
    "accepted_at",
    "delivered_at",
    "amount",
    "currency",
)
ECHOING = frozenset({"notify-vk", "smsc"})  # Devino's receipts carry its own reference only
MESSAGES = 24

Line = dict[str, str]

_DELIVERED = """
    SELECT a.*, m.recipient, c.amount, c.currency FROM cascade.attempts a
    JOIN cascade.messages m ON m.id = a.message_id
    JOIN cascade.charges c ON c.attempt_id = a.id ORDER BY a.id
"""


_LIVE = "SELECT id FROM cascade.attempts WHERE due_at IS NOT NULL ORDER BY id"


def _receipt(one: Claimed, *, is_over: bool) -> Receipt:
    state = AttemptState.DELIVERED if is_over else AttemptState.UNDELIVERABLE
    return Receipt(
        status=state,
        native_status=state.value,
        client_ref=one.client_ref if one.account in ECHOING else None,
        provider_ref=f"ref-{one.attempt_id}",
    )


@dataclass
class Books:
    """A journey that is over. `lines` is what the providers bill."""

    journey: Journey
    folder: Path
    lines: list[Line] = field(default_factory=list)

    def deliver(self, messages: int = MESSAGES) -> None:
        """Sends them through VK, Viber and SMS, a third of them ends on each."""
        journey = self.journey
        journey.policy(a_step(Channel.VK), a_step(Channel.VIBER), a_step(Channel.SMS))
        journey.cascade.send_many(
            [Row(to=f"+7916000{number:04}") for number in range(messages)], text=WORDS
        )
        while claimed := self._claim():
            journey.settle(*((one, Accepted((f"ref-{one.attempt_id}",))) for one in claimed))
            for account in sorted({one.account for one in claimed}):
                told = [
                    _receipt(one, is_over=number % 3 == 0)
                    for number, one in enumerate(claimed)
                    if one.account == account
                ]
                journey.hear(account, *told)
            collect(journey.ledger)
        self.lines = [self._line(row) for row in journey.rows(_DELIVERED)]

    def _claim(self) -> list[Claimed]:
        ids = [row.id for row in self.journey.rows(_LIVE)]
        return transaction(self.journey.engine, lambda c: claim(c, ids, lease=LEASE))

    def _line(self, row) -> Line:
        phone = open_recipient(self.journey.ledger.keyring, row.message_id, bytes(row.recipient))
        return {
            "account": row.account,
            "ref": row.provider_ref,
            "client_ref": row.client_ref if row.account in ECHOING else "",
            "recipient": phone,
            "accepted_at": row.sent_at.isoformat(),
            "delivered_at": row.delivered_at.isoformat(),
            "amount": str(row.amount),
            "currency": row.currency,
        }

    def line_of(self, attempt_id: int) -> Line:
        [found] = [one for one in self.lines if one["ref"] == f"ref-{attempt_id}"]
        return found

    def record(self) -> Path:
        """The providers' invoice as a file."""
        path = self.folder / "invoice.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, HEADER)
            writer.writeheader()
            writer.writerows(self.lines)
        return path

    def question(self, *, with_record: bool = True) -> Question:
        bounds = self.journey.row(
            "SELECT min(created_at) AS since, cascade.clock() AS until FROM cascade.messages"
        )
        return Question(
            period=Period(bounds.since, bounds.until),
            records=(self.record(),) if with_record else (),
            form=Form(hashed=hashed_by(self.journey.ledger.keyring)),
            echoing=ECHOING,
        )

    def reconcile(self, *, with_record: bool = True) -> Reconciled:
        return reconcile(self.journey.engine, self.question(with_record=with_record))

    def repair(self, *, with_record: bool = True) -> Repaired:
        return repair(self.journey.ledger, self.question(with_record=with_record))

    def change(self, statement: str, **values: object) -> None:
        assert self.journey.change(statement, **values) >= 1

    def forget(self, attempt_id: int) -> None:
        """As if no receipt of it had ever come."""
        self.change("DELETE FROM cascade.receipts WHERE attempt_id = :id", id=attempt_id)
        self.change("DELETE FROM cascade.charges WHERE attempt_id = :id", id=attempt_id)
        self.change(
            "UPDATE cascade.attempts SET state = 'expired', delivered_at = NULL WHERE id = :id",
            id=attempt_id,
        )


# What was put in: its kind, and the attempt or the provider's reference that it is about.
Put = tuple[Kind, int | str]
Injection = Callable[[Books, "Victims"], Iterator[Put]]


@dataclass
class Victims:
    """Attempts that nothing was done to yet, in an order of chance."""

    delivered: list[int]
    undelivered: list[int]
    viber: list[int]  # delivered ones of an account that does not echo our reference


def victims(books: Books, seed: int) -> Victims:
    dice = random.Random(seed)  # noqa: S311  # chance that can be repeated
    rows = books.journey.rows("SELECT id, account, delivered_at FROM cascade.attempts ORDER BY id")
    rows = sorted(rows, key=lambda _: dice.random())
    done = [row for row in rows if row.delivered_at is not None]
    return Victims(
        delivered=[row.id for row in done if row.account in ECHOING],
        undelivered=[row.id for row in rows if row.delivered_at is None],
        viber=[row.id for row in done if row.account not in ECHOING],
    )


def a_kopeck(books: Books, among: Victims) -> Iterator[Put]:
    one = among.delivered.pop()
    books.change(
        "UPDATE cascade.charges SET amount = amount + 0.01 WHERE attempt_id = :id", id=one
    )
    yield Kind.PRICE_DIFFERS, one


def a_pair_that_cancels(books: Books, among: Victims) -> Iterator[Put]:
    for more in ("0.07", "-0.07"):
        one = among.delivered.pop()
        books.change(
            "UPDATE cascade.charges SET amount = amount + CAST(:more AS numeric)"
            " WHERE attempt_id = :id",
            id=one,
            more=more,
        )
        yield Kind.PRICE_DIFFERS, one


def another_currency(books: Books, among: Victims) -> Iterator[Put]:
    one = among.delivered.pop()
    books.change("UPDATE cascade.charges SET currency = 'EUR' WHERE attempt_id = :id", id=one)
    yield Kind.PRICE_DIFFERS, one


def no_amount(books: Books, among: Victims) -> Iterator[Put]:
    one = among.delivered.pop()
    books.change(
        "UPDATE cascade.charges SET amount = NULL, currency = NULL, rate_id = NULL"
        " WHERE attempt_id = :id",
        id=one,
    )
    yield Kind.UNRATED, one


def a_charge_less(books: Books, among: Victims) -> Iterator[Put]:
    one = among.delivered.pop()
    books.change("DELETE FROM cascade.charges WHERE attempt_id = :id", id=one)
    yield Kind.NOT_CHARGED, one


def a_charge_more(books: Books, among: Victims) -> Iterator[Put]:
    one = among.undelivered.pop()
    books.change(
        "INSERT INTO cascade.charges (attempt_id, rate_id, amount, currency, units, occurred_at)"
        " SELECT a.id, r.id, r.price, r.currency, 1, a.ended_at FROM cascade.attempts a"
        " JOIN cascade.rates r ON r.account = a.account AND r.prefix = '+7' WHERE a.id = :id"
        " ORDER BY r.valid_from LIMIT 1",
        id=one,
    )
    yield Kind.CHARGE_WITHOUT_DELIVERY, one


def a_charge_of_somebody_else(books: Books, among: Victims) -> Iterator[Put]:
    one, other = among.delivered.pop(), among.undelivered.pop()
    books.change(
        "UPDATE cascade.charges SET attempt_id = :other WHERE attempt_id = :id",
        id=one,
        other=other,
    )
    yield Kind.NOT_CHARGED, one
    yield Kind.CHARGE_WITHOUT_DELIVERY, other


def a_state_that_stepped_back(books: Books, among: Victims) -> Iterator[Put]:
    one = among.delivered.pop()
    books.change("UPDATE cascade.attempts SET state = 'sent' WHERE id = :id", id=one)
    yield Kind.RECEIPT_WITHOUT_EFFECT, one


def a_receipt_less(books: Books, among: Victims) -> Iterator[Put]:
    one = among.delivered.pop()
    books.change("DELETE FROM cascade.receipts WHERE attempt_id = :id", id=one)
    yield Kind.DELIVERY_WITHOUT_RECEIPT, one


def a_delivery_that_nobody_told_of(books: Books, among: Victims) -> Iterator[Put]:
    one = among.undelivered.pop()
    books.change("UPDATE cascade.attempts SET state = 'delivered' WHERE id = :id", id=one)
    yield Kind.DELIVERY_WITHOUT_RECEIPT, one


def a_delivery_that_was_never_heard_of(books: Books, among: Victims) -> Iterator[Put]:
    one = among.delivered.pop()
    books.forget(one)
    yield Kind.UNHEARD, one


def a_lost_answer(books: Books, among: Victims) -> Iterator[Put]:
    one = among.viber.pop()
    books.forget(one)
    books.change("DELETE FROM cascade.provider_refs WHERE attempt_id = :id", id=one)
    books.change(
        "UPDATE cascade.attempts SET unknown_at = sent_at, provider_ref = NULL WHERE id = :id",
        id=one,
    )
    yield Kind.UNATTRIBUTABLE, one


def a_line_more(books: Books, among: Victims) -> Iterator[Put]:
    line = books.lines[0]
    books.lines.append({**line, "ref": "of-nobody", "client_ref": "", "account": "devino-viber"})
    yield Kind.BILLED_NOT_DELIVERED, "of-nobody"


def a_line_less(books: Books, among: Victims) -> Iterator[Put]:
    one = among.delivered.pop()
    books.lines.remove(books.line_of(one))
    yield Kind.DELIVERED_NOT_BILLED, one


def a_line_twice(books: Books, among: Victims) -> Iterator[Put]:
    one = among.delivered.pop()
    books.lines.append(dict(books.line_of(one)))
    yield Kind.DUPLICATE, one


PAIRS = (a_charge_of_somebody_else,)  # of discrepancies

# Those that the books tell of without a provider's record.
WITHIN = (
    another_currency,
    no_amount,
    a_charge_less,
    a_charge_more,
    a_charge_of_somebody_else,
    a_state_that_stepped_back,
    a_receipt_less,
    a_delivery_that_nobody_told_of,
)
BESIDES = (
    a_delivery_that_was_never_heard_of,
    a_lost_answer,
    a_line_more,
    a_line_less,
    a_line_twice,
)


def inject(books: Books, seed: int, *, with_record: bool, count: int = 10) -> set[Put]:
    """Puts in a kopeck, a pair that cancels in the sum, and others up to `count`, by chance."""
    among = victims(books, seed)
    dice = random.Random(seed)  # noqa: S311  # as above
    found = {*a_kopeck(books, among), *a_pair_that_cancels(books, among)}
    kinds = [*WITHIN, *(BESIDES if with_record else ())]
    while len(found) < count:
        room = count - len(found)
        chosen = dice.choice([one for one in kinds if one not in PAIRS or room > 1])
        found |= set(chosen(books, among))
        if chosen is a_line_more:  # two of them would be one
            kinds.remove(chosen)
    return found
