"""What Celery's processes do as they start and stop: logs, tracing, garbage collection."""

from __future__ import annotations

import gc
import logging

from collections.abc import Mapping

from celery import current_app
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown

from cascade import logs, tracing


COLLECT_AFTER = 50_000  # new objects, where Python says 700


def running_task(record: logging.LogRecord) -> Mapping[str, object]:
    """The task that logs, or the one that Celery's own line is about."""
    about = getattr(record, "data", None)
    if isinstance(about, dict):
        return {"task": about.get("name"), "task_id": about.get("id")}
    task = current_app.current_task
    return {} if task is None else {"task": task.name, "task_id": task.request.id}


@setup_logging.connect
def _log(*, loglevel: int, **_: object) -> None:
    logs.configure(loglevel, running_task)


# What was imported lives for ever, and need not be looked through again and again. A set of hundreds
# of attempts is thousands of objects, none of them in a cycle.
@worker_process_init.connect
def _spare_the_collector(**_: object) -> None:
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


# After the fork: an exporter's thread would stay behind in the parent.
@worker_process_init.connect
def _trace(**_: object) -> None:
    tracing.start()


@worker_process_shutdown.connect
def _export_the_rest(**_: object) -> None:
    tracing.stop()
