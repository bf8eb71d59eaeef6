"""The tasks, each a thin shell around a service; the string a task returns is its result line."""

from __future__ import annotations

from collections import Counter
from typing import Any

from celery import Celery, Task

from cascade.dispatch import (
    CALL,
    COLLECT,
    ENQUEUE,
    POLL,
    POST,
    RECONCILE,
    SYNC,
    TICK,
    deliver_task,
)
from cascade.domain.state import Channel, Lane
from cascade.services.call import call
from cascade.services.collect import collect
from cascade.services.deliver import deliver
from cascade.services.nightly import reconcile_nightly
from cascade.services.poll import poll, pollable_accounts
from cascade.services.post import post
from cascade.services.sync import sync
from cascade.services.tick import tick
from workers import enqueue
from workers.runtime import callback_brokers, deployment, ledger, poster, settings


RECONCILE_SECONDS = 1800


def result_line(counts: Counter[str]) -> str:
    """`claimed=200 accepted=118 unsupported=82`; counts of zero are left out."""
    return " ".join(f"{name}={count}" for name, count in counts.items() if count) or "idle"


def register(app: Celery) -> None:
    """Gives `app` every task of Cascade, and no other app in this process."""
    for channel in Channel:
        _register_deliver(app, channel)
    app.task(name=COLLECT, shared=False)(_collect)
    app.task(name=POLL, shared=False)(_poll)
    app.task(name=TICK, shared=False)(_tick)
    app.task(name=SYNC, shared=False)(_sync)
    app.task(name=CALL, shared=False)(_call)
    app.task(name=POST, shared=False)(_post)
    # It reads weeks of books. The broker may give it to a second child meanwhile, which does nothing.
    app.task(name=RECONCILE, shared=False, time_limit=RECONCILE_SECONDS)(_reconcile)
    # Work, not a hint: not to be acknowledged when its worker is killed or hangs.
    app.task(name=ENQUEUE, shared=False, reject_on_worker_lost=True, acks_on_timeout=False)(
        enqueue.enqueue
    )


def _register_deliver(app: Celery, channel: Channel) -> None:
    @app.task(name=deliver_task(channel), bind=True, shared=False)
    def deliver_channel(task: Task[Any, Any], attempt_ids: list[int]) -> str:
        lane = _lane(task)
        return result_line(deliver(deployment(), channel, lane, attempt_ids))


def _lane(task: Task[Any, Any]) -> Lane:
    """The lane of the queue that the hint came from."""
    key = str((task.request.delivery_info or {}).get("routing_key", ""))
    _, _, lane = key.rpartition(".")
    return Lane(lane) if lane in tuple(Lane) else Lane.NORMAL


def _collect() -> str:
    return result_line(collect(ledger()))


def _poll() -> str:
    return result_line(poll(deployment()))


def _tick() -> str:
    return result_line(tick(ledger(), pollable_accounts(deployment())))


def _call() -> str:
    return result_line(call(ledger(), callback_brokers()))


def _post() -> str:
    return result_line(post(ledger(), poster()))


def _sync() -> str:
    return result_line(sync(ledger().engine, settings().config_dir))


def _reconcile() -> str:
    ours = settings()
    return result_line(reconcile_nightly(ledger(), ours.config_dir, ours.records_dir))
