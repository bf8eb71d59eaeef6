"""Messages that are with their provider, without a worker: sent from this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks import crowd
from benchmarks.in_process import InProcess, InProcessTransport, accounts, receipts_for
from cascade.channels.base import Item
from cascade.channels.threaded import ThreadedTransport
from cascade.client import Cascade
from cascade.domain.hint import Hint
from cascade.domain.policy import PolicyStep
from cascade.domain.state import Channel, Lane
from cascade.services.deliver import deliver
from cascade.services.deployment import Deployment, Ledger
from cascade.storage.inbox import NewReceipt


_SET = 1000


def send(ledger: Ledger, count: int, steps: Sequence[PolicyStep]) -> list[NewReceipt]:
    """Sends `count` messages over OK, which takes them all; their receipts, not stored yet."""
    hints: list[Hint] = []
    receipts: list[NewReceipt] = []

    def publish(more: Iterable[Hint]) -> int:
        some = list(more)
        hints.extend(some)
        return len(some)

    def tell(adapter: InProcess, item: Item) -> None:
        receipts.extend(receipts_for(ledger.keyring, adapter, item))

    quiet = replace(ledger, publish=publish)
    Cascade(quiet).send_many(crowd.rows(count), text=crowd.TEXT, policy=steps)
    adapters = accounts()
    deployment = Deployment(
        ledger=quiet,
        adapters=adapters,
        transport=InProcessTransport(adapters, tell),
        poll_transport=ThreadedTransport(flight=1),
    )
    ids = [hint.attempt_id for hint in hints]
    for at in range(0, count, _SET):
        deliver(deployment, Channel.OK, Lane.NORMAL, ids[at : at + _SET])
    return receipts
