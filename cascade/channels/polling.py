"""One question to a provider about attempts, from an adapter's words to receipts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from cascade.channels.base import HttpRequest, HttpResponse, Pending, Pollable, Receipt
from cascade.channels.exchange import Ambiguous, Exchange, NotSent


def poll_requests_for(adapter: Pollable, pending: Sequence[Pending]) -> list[HttpRequest[Pending]]:
    """Requests about those of `pending` that can be asked about; the others are left out."""
    if not pending:
        return []
    try:
        return list(adapter.poll_requests_for(pending))
    except Exception:  # noqa: BLE001  # whatever a builder raises is its attempt's fault
        if len(pending) == 1:
            return []
    middle = len(pending) // 2
    first = poll_requests_for(adapter, pending[:middle])
    return first + poll_requests_for(adapter, pending[middle:])


def receipts(adapter: Pollable, exchange: Exchange[Pending]) -> Sequence[Receipt] | None:
    """What the provider says of the call's attempts; None if it gave no readable answer."""
    outcome = exchange.outcome
    match outcome:
        case NotSent() | Ambiguous():
            return None
        case HttpResponse():
            try:
                return adapter.receipts_of(exchange.request, outcome)
            except Exception:  # noqa: BLE001  # an answer that cannot be read is no answer
                return None
        case _:
            assert_never(outcome)
