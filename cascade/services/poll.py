"""Asking providers about attempts whose time is over, and about deliveries that somebody claims;
answers go through the inbox.
"""

from __future__ import annotations

import functools
import logging

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from cascade.channels.base import Adapter, Pending, Pollable
from cascade.channels.exchange import Exchange
from cascade.channels.polling import poll_requests_for, receipts
from cascade.domain.engine import RECEIPT_GRACE
from cascade.services.deployment import CALL_DEADLINE, Deployment, Records, seconds
from cascade.services.halving import halved
from cascade.services.inbox import new_receipts
from cascade.services.sealed import open_recipient
from cascade.storage.database import is_passing
from cascade.storage.inbox import NewReceipt
from cascade.storage.polling import Unanswered
from cascade.storage.sealing import UnsealableError
from cascade.storage.store import Transaction


log = logging.getLogger(__name__)

QUOTA = 1000  # attempts in one task
POLLING = seconds(60.0)  # after which a poll that did not finish is thought dead


def pollable_accounts(deployment: Deployment) -> frozenset[str]:
    """The accounts whose providers can be asked."""
    return frozenset(
        account
        for account, adapter in deployment.adapters.items()
        if adapter.capabilities.poll and _can_be_asked(type(adapter))
    )


@functools.cache
def _can_be_asked(kind: type[Adapter]) -> bool:
    """Asked once for each class: looking through a protocol is slow."""
    return issubclass(kind, Pollable)


def poll(deployment: Deployment) -> Counter[str]:
    """Asks about attempts without a final word; returns counts for the task's result line."""
    store = deployment.ledger.store
    if not store.transaction(lambda transaction: transaction.begin("poll", POLLING)):
        return Counter()  # another poll is asking
    try:
        return _poll(deployment)
    finally:
        store.transaction(lambda transaction: transaction.finish("poll", POLLING))


def _poll(deployment: Deployment) -> Counter[str]:
    accounts = sorted(pollable_accounts(deployment))
    store = deployment.ledger.store
    waiting = store.transaction(
        lambda transaction: transaction.unanswered(accounts, quota=QUOTA, grace=RECEIPT_GRACE)
    )
    claimed = store.transaction(lambda transaction: transaction.unconfirmed(accounts, quota=QUOTA))
    waiting = list({one.attempt_id: one for one in [*waiting, *claimed]}.values())
    by_account: dict[str, list[Unanswered]] = defaultdict(list)
    for one in waiting:
        by_account[one.account].append(one)
    tally = Counter(asked=len(waiting))
    for account, unanswered in by_account.items():
        tally.update(_ask(deployment, deployment.adapters[account], unanswered))
    return tally


def _ask(
    deployment: Deployment, adapter: Adapter, unanswered: Sequence[Unanswered]
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
    stop_at = deployment.ledger.monotonic() + 2 * CALL_DEADLINE
    while (waiting and deployment.ledger.monotonic() < stop_at) or transport.in_flight:
        while waiting and transport.room and deployment.ledger.monotonic() < stop_at:
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
    try:
        _note(deployment, new, {one.attempt_id for one in exchange.request.items})
    except Exception as error:
        if is_passing(error):
            raise
        _keep(deployment, new)
    return Counter(receipts=len(heard))


def _keep(deployment: Deployment, new: Sequence[NewReceipt]) -> None:
    """Stores what can be stored of an answer; nobody counts as answered about, so that the provider
    is asked again.
    """
    store = deployment.ledger.store
    halved(new, lambda part: store.transaction(lambda t: t.store_receipts(part)), _blame)


def _blame(new: NewReceipt, error: Exception) -> None:
    log.error(
        "the answer to a poll cannot be kept: %s",
        type(error).__name__,
        extra={"account": new.account},
    )


def _note(deployment: Deployment, new: Sequence[NewReceipt], attempt_ids: set[int]) -> None:
    """In one transaction: an expiry sees the answer together with its receipts."""

    def work(transaction: Transaction) -> None:
        if new:
            transaction.store_receipts(new)
        transaction.mark_polled(attempt_ids)

    if attempt_ids:
        deployment.ledger.store.transaction(work)


def _pending(ledger: Records, unanswered: Sequence[Unanswered]) -> Iterator[Pending]:
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
