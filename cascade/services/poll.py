"""Asking providers about attempts whose time is over; answers go through the inbox."""

from __future__ import annotations

import logging
import time

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from cascade.channels.base import Adapter, Pending, Pollable
from cascade.channels.exchange import Exchange
from cascade.channels.polling import poll_requests_for, receipts
from cascade.domain.engine import RECEIPT_GRACE
from cascade.services.deployment import CALL_DEADLINE, Deployment, Ledger, seconds
from cascade.services.inbox import new_receipts
from cascade.services.sealed import open_recipient
from cascade.storage import polling
from cascade.storage.database import transaction
from cascade.storage.inbox import NewReceipt, store
from cascade.storage.sealing import UnsealableError
from cascade.storage.sweep import begin, finish


log = logging.getLogger(__name__)

QUOTA = 1000  # attempts in one task
POLLING = seconds(60.0)  # after which a poll that did not finish is thought dead


def pollable_accounts(deployment: Deployment) -> frozenset[str]:
    """The accounts whose providers can be asked."""
    return frozenset(
        account
        for account, adapter in deployment.adapters.items()
        if adapter.capabilities.poll and isinstance(adapter, Pollable)
    )


def poll(deployment: Deployment) -> Counter[str]:
    """Asks about attempts without a final word; returns counts for the task's result line."""
    engine = deployment.ledger.engine
    if not transaction(engine, lambda c: begin(c, "poll", POLLING)):
        return Counter()  # another poll is asking
    try:
        return _poll(deployment)
    finally:
        transaction(engine, lambda c: finish(c, "poll", POLLING))


def _poll(deployment: Deployment) -> Counter[str]:
    engine = deployment.ledger.engine
    accounts = pollable_accounts(deployment)
    waiting = transaction(
        engine,
        lambda c: polling.unanswered(c, sorted(accounts), quota=QUOTA, grace=RECEIPT_GRACE),
    )
    by_account: dict[str, list[polling.Unanswered]] = defaultdict(list)
    for one in waiting:
        by_account[one.account].append(one)
    tally = Counter(asked=len(waiting))
    for account, unanswered in by_account.items():
        tally.update(_ask(deployment, deployment.adapters[account], unanswered))
    return tally


def _ask(
    deployment: Deployment, adapter: Adapter, unanswered: Sequence[polling.Unanswered]
) -> Counter[str]:
    if not isinstance(adapter, Pollable):
        return Counter()
    account = adapter.account
    requests = poll_requests_for(adapter, list(_pending(deployment.ledger, unanswered)))
    # Who cannot even be asked about (no reference of the provider's) is not waited for.
    askable = {one.attempt_id for request in requests for one in request.items}
    _note(deployment, [], {one.attempt_id for one in unanswered} - askable)
    tally: Counter[str] = Counter()
    waiting = list(requests)
    transport = deployment.poll_transport
    stop_at = time.monotonic() + 2 * CALL_DEADLINE
    while (waiting and time.monotonic() < stop_at) or transport.in_flight:
        while waiting and transport.room and time.monotonic() < stop_at:
            transport.submit(waiting.pop())
        for exchange in transport.collect(CALL_DEADLINE):
            tally.update(_answered(deployment, account, adapter, exchange))
    return tally


def _answered(
    deployment: Deployment, account: str, adapter: Pollable, exchange: Exchange[Pending]
) -> Counter[str]:
    heard = receipts(adapter, exchange)
    if heard is None:
        return Counter(silent=len(exchange.request.items))
    raw = getattr(exchange.outcome, "body", b"")
    new = new_receipts(deployment.ledger.keyring, account, heard, raw)
    _note(deployment, new, {one.attempt_id for one in exchange.request.items})
    return Counter(receipts=len(heard))


def _note(deployment: Deployment, new: Sequence[NewReceipt], attempt_ids: set[int]) -> None:
    """In one transaction: an expiry sees the answer together with its receipts."""

    def work(connection: Connection) -> None:
        if new:
            store(connection, new)
        polling.mark_polled(connection, attempt_ids)

    if attempt_ids:
        transaction(deployment.ledger.engine, work)


def _pending(ledger: Ledger, unanswered: Sequence[polling.Unanswered]) -> Iterator[Pending]:
    """Questions about all but those whose recipients cannot be opened: neighbours go on."""
    for one in unanswered:
        try:
            phone = open_recipient(ledger.keyring, one.message_id, one.recipient)
        except UnsealableError:
            log.exception(
                "a recipient cannot be opened",
                extra={"message_id": one.message_id, "attempt_id": one.attempt_id},
            )
            continue
        yield Pending(
            attempt_id=one.attempt_id,
            client_ref=one.client_ref,
            provider_ref=one.provider_ref,
            phone=phone,
        )
