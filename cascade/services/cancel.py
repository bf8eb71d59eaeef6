"""Cancelling a message: what was not sent yet is not sent."""

from __future__ import annotations

import uuid

from cascade import tracing
from cascade.domain import engine
from cascade.services.advance import advance
from cascade.services.deployment import Records


def cancel(ledger: Records, message_id: uuid.UUID) -> bool:
    """Whether the message is cancelled now; False if it had ended before, or does not exist."""
    advanced = ledger.store.transaction(
        lambda transaction: advance(transaction, ledger, {message_id: [engine.cancel]})
    )
    tracing.moved(advanced.before, advanced.after)
    return advanced.ended == 1
