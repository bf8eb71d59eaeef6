"""The task that everything is compared with: it does nothing, in a plain Celery app."""

from __future__ import annotations

import os

from celery import Celery


app = Celery("noop", broker=os.environ["NOOP_BROKER_URL"])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, task_ignore_result=True)


@app.task(name="noop")
def noop() -> None:
    """Nothing."""
