"""Making the Celery app, once per process that needs one."""

from __future__ import annotations

from celery import Celery

from cascade.dispatch import is_amqp, transport_options
from config.celery import ON_AMQP, ON_REDIS, SETTINGS
from workers import tasks


def make_app(broker_url: str, **overrides: object) -> Celery:
    """An app with all tasks, on Redis or RabbitMQ; `overrides` are Celery settings."""
    app = Celery("cascade", broker=broker_url, set_as_current=True)
    app.conf.update(SETTINGS | (ON_AMQP if is_amqp(broker_url) else ON_REDIS))
    app.conf.update({"broker_transport_options": transport_options(broker_url)} | overrides)
    tasks.register(app)
    return app
