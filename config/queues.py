"""Every queue there is. A worker names the ones it serves with -Q, the first served first."""

from __future__ import annotations

from kombu import Queue

from cascade.dispatch import COLLECT, ENQUEUE, POLL, SYNC, TICK, lane_queue, queue
from cascade.domain.state import Channel, Lane


LANES = [lane_queue(channel, lane) for channel in Channel for lane in Lane]

# Each periodic task has a queue of its own name; `receipts.collect` and `cascade.enqueue` share a
# worker, the tick has its own.
SINGLE = [COLLECT, POLL, TICK, SYNC, ENQUEUE]

QUEUES: list[Queue] = [queue(name) for name in (*LANES, *SINGLE)]

ROUTES = {name: {"queue": name} for name in SINGLE}
