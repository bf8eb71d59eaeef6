"""Celery's consumer, less what serves timers in the broker: Cascade has none."""

from __future__ import annotations

from celery.worker.consumer import Consumer


DELAYED_DELIVERY = "celery.worker.consumer.delayed_delivery:DelayedDelivery"


class TimerlessConsumer(Consumer):
    """Leaves RabbitMQ without the 28 queues and 29 exchanges that would hold tasks with an ETA.

    Celery declares them in every worker as soon as one quorum queue is known.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]  # untyped in the stubs
        default_steps = [  # noqa: RUF012  # as Celery has it
            step for step in Consumer.Blueprint.default_steps if step != DELAYED_DELIVERY
        ]
