"""A Celery app that knows nothing of Cascade: its task writes down how it was called."""

from __future__ import annotations

import json
import os

from pathlib import Path

from celery import Celery


app = Celery("caller", broker=os.environ["CALLER_BROKER_URL"])
app.conf.update(task_default_queue="caller", task_ignore_result=True)


@app.task(name="caller.on_status")
def on_status(**called: object) -> None:
    with Path(os.environ["CALLER_HEARD"]).open("a", encoding="utf-8") as heard:
        heard.write(json.dumps(called) + "\n")
