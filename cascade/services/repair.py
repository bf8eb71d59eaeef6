"""Mending what reconciling found: missing receipts through the inbox, and entries of their own.

A charge is never changed. What is mended agrees at the next look, so a second repair finds nothing
to write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from cascade.channels.base import Receipt
from cascade.domain.discrepancy import Charge, Correct, Discrepancy, Hear, Kind, Price, Remedy
from cascade.domain.errors import TryAgainError
from cascade.domain.money import Amount
from cascade.services.charge import charge, priced
from cascade.services.collect import collect
from cascade.services.deployment import Ledger
from cascade.services.inbox import new_receipts
from cascade.services.reconcile import Question, Reconciled, reconcile
from cascade.storage.corrections import Correction, be_alone, correct, note_run
from cascade.storage.database import transaction
from cascade.storage.store import Transaction


ROUNDS = 5  # a receipt makes a charge, whose price may differ, and so on
SET = 500  # receipts or charges in one transaction
NATIVE_STATUS = "reconciled"  # of the receipts that it writes


@dataclass(slots=True)
class Repaired:
    """What was written, and what is left for a person."""

    first: Reconciled  # before anything was written
    left: Reconciled
    written: Counter[str] = field(default_factory=Counter)  # receipts, charges, corrections


def repair(ledger: Ledger, question: Question) -> Repaired:
    """Reconciles, and writes what is missing until nothing more can be.

    Raises TryAgainError if another repair writes at the same time, and what `reconcile` raises.
    """
    first = reconcile(ledger.engine, question)
    done = Repaired(first, first)
    for _ in range(ROUNDS):
        written = _write(ledger, done.left)
        if not written.total():
            break
        done.written += written
        collect(ledger)
        done.left = reconcile(ledger.engine, question)
    return done


def _write(ledger: Ledger, found: Reconciled) -> Counter[str]:
    """Each part may be repeated: what stands already is not written again."""
    return Counter(
        corrections=_correct(ledger, found),
        receipts=sum(_hear(ledger, some) for some in _sets(_with(found, Hear))),
        charges=sum(_charge(ledger, some) for some in _sets(_with(found, Charge))),
    )


def _correct(ledger: Ledger, found: Reconciled) -> int:
    prices = _with(found, Price)
    known = list(_corrections(found))
    if not (prices or known):
        return 0

    def work(connection: Connection) -> int:
        if not be_alone(connection, found.last_correction):
            raise TryAgainError("--repair", "another repair has written meanwhile", "run it again")
        corrections = [*known, *_priced(connection, ledger, prices)]
        if not corrections:
            return 0
        run = note_run(
            connection,
            is_nightly=False,
            since=found.period.since,
            until=found.period.until,
            lines=found.lines,
            found=found.counts,
        )
        return correct(connection, run, corrections)

    return transaction(ledger.engine, work)


def _corrections(found: Reconciled) -> Iterator[Correction]:
    for one in found.found:
        if isinstance(one.remedy, Correct) and one.attempt_id is not None:
            for amount in one.remedy.amounts:
                yield _correction(one.attempt_id, one.ref, one.kind, amount)


def _priced(
    connection: Connection, ledger: Ledger, unrated: Sequence[Discrepancy]
) -> Iterator[Correction]:
    """For charges that a rate has come for since they were booked."""
    # In sets: a transaction that is idle for as long as all of them take would be ended.
    for some in _sets(unrated):
        ids = [one.attempt_id for one in some if one.attempt_id is not None]
        for one in priced(ledger.store.on(connection), ledger, ids):
            if one.amount is not None:
                yield _correction(one.attempt_id, None, Kind.UNRATED, one.amount)


def _correction(attempt_id: int, ref: str | None, kind: Kind, amount: Amount) -> Correction:
    return Correction(
        attempt_id=attempt_id,
        ref=ref,
        reason=kind,
        amount=amount.value,
        currency=amount.currency,
    )


def _hear(ledger: Ledger, some: Sequence[Discrepancy]) -> int:
    """Into the inbox: the collector moves the attempts, and charges what is delivered."""
    new = [
        receipt
        for one in some
        if isinstance(one.remedy, Hear)
        for receipt in new_receipts(ledger.keyring, one.account, [_receipt(one, one.remedy)], b"")
    ]
    return ledger.store.transaction(lambda ours: ours.store_receipts(new))


def _receipt(one: Discrepancy, missing: Hear) -> Receipt:
    return Receipt(
        status=missing.state,
        native_status=NATIVE_STATUS,
        client_ref=one.client_ref,
        provider_ref=missing.ref,
        event_at=missing.at,
    )


def _charge(ledger: Ledger, some: Sequence[Discrepancy]) -> int:
    """Who charges locks the messages first."""
    messages = {one.message_id for one in some if one.message_id is not None}
    attempts = [one.attempt_id for one in some if one.attempt_id is not None]

    def work(ours: Transaction) -> int:
        ours.lock(messages)
        charge(ours, ledger, attempts)
        return len(attempts)

    return ledger.store.transaction(work)


def _with(found: Reconciled, remedy: type[Remedy]) -> list[Discrepancy]:
    return [one for one in found.found if isinstance(one.remedy, remedy)]


def _sets(found: Sequence[Discrepancy]) -> Iterator[Sequence[Discrepancy]]:
    return (found[at : at + SET] for at in range(0, len(found), SET))
