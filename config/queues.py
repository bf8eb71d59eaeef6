"""Every queue there is. A worker names the ones it serves with -Q, the first served first."""

from __future__ import annotations

from kombu import Queue

from cascade.dispatch import CALL, POST, RECONCILE, SINGLE, SYNC, queue, queue_names


# `receipts.collect` and `cascade.enqueue` share a worker, the tick has its own.
QUEUES: list[Queue] = [queue(name) for name in queue_names()]

# One worker tells all callers, so whoever serves the tasks' queue serves the endpoints' too.
SHARED = {POST: {"queue": CALL}, RECONCILE: {"queue": SYNC}}

ROUTES = {name: {"queue": name} for name in SINGLE} | SHARED
