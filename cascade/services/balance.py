"""All our books and a whole record beside each other, in memory: for a run of some thousand messages."""

from __future__ import annotations

from collections.abc import Container, Iterable

from cascade.domain.books import Books, Entry, Line, Silent, Unconfirmed, compare, window
from cascade.domain.money import Amount
from cascade.services.deployment import Ledger
from cascade.services.sealed import open_recipient
from cascade.storage.books import Called, called
from cascade.storage.database import transaction


def balance(ledger: Ledger, lines: Iterable[Line], *, echoing: Container[str]) -> Books:
    """Pairs `lines`, the whole record of all accounts, with all that we have called and charged.

    `echoing` are the accounts whose receipts carry our reference. Raises UnsealableError.
    """
    attempts = transaction(ledger.engine, called)
    charged = [one for one in attempts if one.is_charged]
    uncharged = [one for one in attempts if not one.is_charged]
    return compare(
        [_entry(ledger, one) for one in charged],
        lines,
        silent=[_silent(ledger, one) for one in uncharged if _is_silent(one, echoing)],
        unconfirmed=[_unconfirmed(ledger, one) for one in uncharged if not one.is_heard],
        echoing=echoing,
    )


def _is_silent(one: Called, echoing: Container[str]) -> bool:
    """Whether nobody knows what became of the call, and no receipt can ever tell."""
    return one.unknown_at is not None and not one.provider_refs and one.account not in echoing


def _entry(ledger: Ledger, one: Called) -> Entry:
    return Entry(
        attempt_id=one.attempt_id,
        account=one.account,
        client_ref=one.client_ref,
        provider_refs=one.provider_refs,
        recipient=_recipient(ledger, one),
        started_at=one.started_at,
        amount=_amount(one),
    )


def _unconfirmed(ledger: Ledger, one: Called) -> Unconfirmed:
    return Unconfirmed(
        attempt_id=one.attempt_id,
        account=one.account,
        client_ref=one.client_ref,
        provider_refs=one.provider_refs,
        recipient=_recipient(ledger, one),
        started_at=one.started_at,
    )


def _silent(ledger: Ledger, one: Called) -> Silent:
    call = window(one.started_at, one.unknown_at)
    return Silent(
        attempt_id=one.attempt_id,
        account=one.account,
        recipient=_recipient(ledger, one),
        called_from=call.begin,
        called_until=call.end,
    )


def _recipient(ledger: Ledger, one: Called) -> str:
    return open_recipient(ledger.keyring, one.message_id, one.recipient)


def _amount(one: Called) -> Amount | None:
    if one.amount is None or one.currency is None:
        return None
    return Amount(one.amount, one.currency)
