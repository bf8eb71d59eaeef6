"""The workers' Celery app with providers inside the process.

`celery --app benchmarks.in_process_app`. Receipts go into the inbox as those of webhooks do: a
commit for those of a few milliseconds, and a nudge to the collector.
"""

from __future__ import annotations

import functools
import queue
import threading

from threading import Event

from benchmarks.in_process import InProcess, InProcessTransport, accounts, receipts_for
from cascade.channels.base import Item
from cascade.channels.threaded import ThreadedTransport
from cascade.dispatch import COLLECT, Dispatcher, producer_app
from cascade.gateway.nudge import EXPIRES, Nudge
from cascade.services.deployment import Deployment
from cascade.storage.database import transaction
from cascade.storage.inbox import NewReceipt, store
from workers import runtime, signals, tasks  # noqa: F401  # connects them
from workers.make_app import make_app


GATHERED = 0.005  # seconds for which receipts wait for others


@functools.cache
def deployment() -> Deployment:
    """The product's own, with these providers and without a wire."""
    adapters = accounts()
    inbox: queue.SimpleQueue[NewReceipt] = queue.SimpleQueue()
    keyring = runtime.ledger().keyring

    def tell(adapter: InProcess, item: Item) -> None:
        for one in receipts_for(keyring, adapter, item):
            inbox.put(one)

    threading.Thread(target=_store, args=[inbox], daemon=True).start()
    return Deployment(
        ledger=runtime.ledger(),
        adapters=adapters,
        transport=InProcessTransport(adapters, tell),
        poll_transport=ThreadedTransport(flight=1),
    )


def _store(inbox: queue.SimpleQueue[NewReceipt]) -> None:
    engine = runtime.ledger().engine
    dispatcher = Dispatcher(producer_app(runtime.settings().broker_url.get_secret_value()))
    with Nudge(functools.partial(dispatcher.send, COLLECT, [], COLLECT, expires=EXPIRES)) as nudge:
        while True:
            group = [inbox.get()]
            Event().wait(GATHERED)
            while not inbox.empty():
                group.append(inbox.get())
            transaction(engine, functools.partial(store, receipts=group))
            nudge()


vars(tasks)["deployment"] = deployment
app = make_app(runtime.settings().broker_url.get_secret_value())
