"""Celery's consumer, less what serves timers in the broker, and with a longer life."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from celery.worker.consumer import Consumer
from typing_extensions import override


DELAYED_DELIVERY = "celery.worker.consumer.delayed_delivery:DelayedDelivery"


class CascadeConsumer(Consumer):
    """Leaves RabbitMQ without the 28 queues and 29 exchanges that would hold tasks with an ETA,
    and outlives a broker that dies with tasks in its hands.

    Celery declares those queues in every worker as soon as one quorum queue is known.

    kombu 5.7 gives unacknowledged tasks back, and acknowledges tasks, over a connection to Redis
    that is closed already: that raises AttributeError (`'NoneType' object has no attribute
    'hostname'`), which Celery takes for the end of the worker. It is the loss of a connection, and
    the tick repeats what was lost with it.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]  # untyped in the stubs
        default_steps = [  # noqa: RUF012  # as Celery has it
            step for step in Consumer.Blueprint.default_steps if step != DELAYED_DELIVERY
        ]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        known = self.connection_errors  # type: ignore[has-type]  # untyped in the stubs
        self.connection_errors = (*known, AttributeError)

    @override
    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Lets go of a lost connection, whatever happens while it is closed."""
        with suppress(AttributeError):
            super().on_connection_error_after_connected(exc)
