"""A receipt that was acknowledged is in the inbox, was applied, and has moved its attempt."""

from __future__ import annotations

import datetime as dt

from collections import defaultdict
from collections.abc import Iterator

from chaos.checker.evidence import Evidence
from chaos.checker.ledger import Key, Told
from chaos.checker.tables import Receipt


_ENDS = frozenset({"unsupported", "rejected", "undeliverable"})  # how our adapters read a refusal
# What may stand in the inbox for a provider's word.
_STATUSES = {
    "sent": frozenset({"sent"}),
    "delivered": frozenset({"delivered"}),
    "read": frozenset({"read"}),
    "expired": frozenset({"expired"}),
    "unsupported": _ENDS,
    "blocked": _ENDS,
    "undeliverable": _ENDS,
}
_NO_FACT = "unknown"  # a word that our adapter does not know: kept, and means nothing


def receipts_unapplied(evidence: Evidence) -> Iterator[str]:
    """Receipts that a provider was thanked for and that came to nothing."""
    yield from _missing(evidence)
    for receipt, attempt_id, _ in known_receipts(evidence):
        where = f"receipt {receipt.id} ({receipt.status}) of attempt {attempt_id}"
        if receipt.applied_at is None:
            yield f"{where}: not applied"
        elif _is_above(evidence, receipt, attempt_id):
            state = evidence.tables.attempts[attempt_id].state
            yield f"{where}: applied, and the attempt is {state}"


def _missing(evidence: Evidence) -> Iterator[str]:
    """Webhooks that were answered with 2xx and are not in the inbox."""
    inbox: dict[Key, set[str]] = defaultdict(set)
    for receipt in evidence.tables.receipts:
        for ref in (receipt.client_ref, receipt.provider_ref):
            if ref is not None:
                inbox[Key(receipt.account, ref)].add(receipt.status)
    for told in evidence.ledger.told.values():
        for one in dict.fromkeys(told):
            if not _is_there(one, inbox):
                yield f"{one.key}: {one.word!r} was acknowledged, and is not in the inbox"


def _is_there(told: Told, inbox: dict[Key, set[str]]) -> bool:
    theirs = inbox[Key(told.key.account, told.ref)]
    return bool(_STATUSES[told.word] & (inbox[told.key] | theirs))


def known_receipts(evidence: Evidence) -> Iterator[tuple[Receipt, int, dt.datetime]]:
    """Receipts, the attempts that they are about as far as any table tells, and known since when."""
    attempts = evidence.tables.by_key()
    refs = {Key(one.account, one.ref): one for one in evidence.tables.refs}
    for receipt in evidence.tables.receipts:
        own = attempts.get(Key(receipt.account, receipt.client_ref))
        ref = refs.get(Key(receipt.account, receipt.provider_ref))
        if own is not None:
            yield receipt, receipt.attempt_id or own.id, receipt.received_at
        elif ref is not None:
            known_since = max(receipt.received_at, ref.created_at)
            yield receipt, receipt.attempt_id or ref.attempt_id, known_since


def _is_above(evidence: Evidence, receipt: Receipt, attempt_id: int) -> bool:
    ranks = evidence.tables.attempt_states.index
    if receipt.status == _NO_FACT or attempt_id not in evidence.tables.attempts:
        return False
    return ranks(receipt.status) > ranks(evidence.tables.attempts[attempt_id].state)
