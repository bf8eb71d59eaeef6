"""Putting receipts into the inbox, whoever brought them: a webhook or a poll."""

from __future__ import annotations

from collections.abc import Sequence

from cascade.channels.base import Receipt
from cascade.domain.receipt import dedupe_key
from cascade.domain.state import AttemptState
from cascade.services.sealed import seal_raw
from cascade.storage.inbox import NewReceipt
from cascade.storage.sealing import Keyring


def new_receipts(
    keyring: Keyring,
    account: str,
    receipts: Sequence[Receipt],
    raw: bytes,
    *,
    is_believed: bool = True,
) -> list[NewReceipt]:
    """The receipts of one webhook or answer, ready to be stored.

    `raw`, its body, is kept with the first of them: a body of many receipts is not stored many
    times. What is not believed must be confirmed by a poll before it can charge.
    """
    bodies = [raw, b""] if len(receipts) > 1 else [raw]
    sealed = [seal_raw(keyring, account, body) for body in bodies]
    return [
        _new_receipt(
            account,
            receipt,
            sealed=sealed[0] if place == 0 else sealed[1],
            is_unconfirmed=not is_believed and receipt.status.rank >= AttemptState.DELIVERED.rank,
        )
        for place, receipt in enumerate(receipts)
    ]


def _new_receipt(
    account: str, receipt: Receipt, *, sealed: bytes, is_unconfirmed: bool
) -> NewReceipt:
    return NewReceipt(
        account=account,
        status=receipt.status,
        native_status=receipt.native_status,
        native_code=receipt.native_code,
        client_ref=receipt.client_ref,
        provider_ref=receipt.provider_ref,
        event_at=receipt.event_at,
        dedupe_key=dedupe_key(
            account=account,
            refs=(receipt.client_ref, receipt.provider_ref),
            status=receipt.status,
            native=(receipt.native_status, receipt.native_code),
            event_at=receipt.event_at,
            is_unconfirmed=is_unconfirmed,
        ),
        raw=sealed,
        is_unconfirmed=is_unconfirmed,
    )
