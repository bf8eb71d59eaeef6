"""Making the Celery app, once per process that needs one."""

from __future__ import annotations

from celery import Celery

from config.celery import SETTINGS
from workers import tasks


def make_app(broker_url: str, **overrides: object) -> Celery:
    """An app with all tasks; `overrides` are Celery settings."""
    app = Celery("cascade", broker=broker_url, set_as_current=True)
    app.conf.update(SETTINGS | overrides)
    tasks.register(app)
    return app
