"""Publishing hints by task name: the only place here that knows Celery.

A hint that is lost is published again by the tick, so publishing never fails its caller.
"""

from __future__ import annotations

import logging

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from amqp.exceptions import AMQPError, NotFound
from celery import Celery
from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError

from cascade.domain.hint import Hint
from cascade.domain.state import Channel, Lane


log = logging.getLogger(__name__)

IDS_PER_HINT = 500
CONNECT_SECONDS = 3

COLLECT, POLL, TICK, SYNC, CALL, ENQUEUE, POST, RECONCILE = (
    "receipts.collect",
    "receipts.poll",
    "tick",
    "config.sync",
    "callbacks.call",
    "cascade.enqueue",
    "callbacks.post",
    "books.reconcile",
)

# Each periodic task has a queue of its own name, and so has the producer task; but callbacks of
# both kinds share one, and what is rare goes with `config.sync`.
SINGLE = (COLLECT, POLL, TICK, SYNC, CALL, ENQUEUE)

# How a client talks to the broker: bounded in time, since a hint may be lost but a caller must
# not hang. A frozen Redis held a publisher for more than 30 s by default. Times in seconds.
REDIS_TRANSPORT: dict[str, object] = {
    "visibility_timeout": 120,  # above the hard time limit; one value for all apps on a database
    "unacked_restore_interval": 5,  # with the throttle: a killed worker's task is back soon after
    "unacked_restore_throttle": 1,  # the visibility timeout, not about 100 s later
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "retry_on_timeout": False,  # a blind replay is a second hint
    "max_connections": 50,
    "client_name": "cascade",
    "global_keyprefix": "cascade:",
    "queue_order_strategy": "priority",  # a worker looks at its queues in the order of -Q
}
# RabbitMQ's: py-amqp's own words. Without confirms a publisher does not hear of a refusal.
AMQP_TRANSPORT: dict[str, object] = {
    "confirm_publish": True,
    "read_timeout": 3,  # bounds each answer; a broker short of memory or disk gives no confirms
    "write_timeout": 3,
    "client_properties": {"connection_name": "cascade"},
}
# The same on every release: RabbitMQ 4 would drop what came back 20 times, 3 knows no "unlimited".
QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 10_000}
PUBLISH_RETRY = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}


def deliver_task(channel: Channel) -> str:
    """The name of a channel's task, such as `deliver.vk`."""
    return f"deliver.{channel}"


def lane_queue(channel: Channel, lane: Lane) -> str:
    """The name of a channel's queue for one lane, such as `vk.urgent`."""
    return f"{channel}.{lane}"


def queue_names() -> list[str]:
    """Every queue of a deployment: each channel's lanes, then the single ones."""
    lanes = [lane_queue(channel, lane) for channel in Channel for lane in Lane]
    return [*lanes, *SINGLE]


def queue(name: str) -> Queue:
    """The declaration of a queue; every process declares it alike. Redis ignores its arguments."""
    exchange = Exchange(name, type="direct")
    return Queue(name, exchange, routing_key=name, queue_arguments=dict(QUORUM))


def is_amqp(broker_url: str) -> bool:
    """Whether this is RabbitMQ's address; all others are Redis' or a test's."""
    return broker_url.partition("://")[0] in {"amqp", "amqps", "pyamqp"}


def transport_options(broker_url: str) -> dict[str, object]:
    """What kombu's transport for this address is told; each refuses or ignores the other's."""
    return AMQP_TRANSPORT if is_amqp(broker_url) else REDIS_TRANSPORT


def producer_app(broker_url: str) -> Celery:
    """A Celery app that only publishes, for processes that are no workers."""
    app = Celery("cascade", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        broker_transport_options=transport_options(broker_url),
        broker_connection_timeout=CONNECT_SECONDS,
        task_publish_retry_policy=PUBLISH_RETRY,
    )
    return app


def queue_lengths(broker_url: str) -> dict[str, int]:
    """How many messages wait in each queue of the deployment, those that workers hold left out.

    A queue that nobody has used yet counts 0. Takes some seconds at most; raises kombu's
    OperationalError if the broker cannot be asked.
    """
    # On Redis a passive declaration finds nothing: kombu asks for the name without its prefix. A
    # plain one creates nothing there.
    passive = is_amqp(broker_url)
    options = transport_options(broker_url)
    with Connection(
        broker_url, connect_timeout=CONNECT_SECONDS, transport_options=options
    ) as broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=0)
            channel = broker.channel()
            return {name: _length(channel, name, passive=passive) for name in queue_names()}
        except (*broker.connection_errors, *broker.channel_errors) as error:
            raise OperationalError(str(error)) from error


def _length(channel: Any, name: str, *, passive: bool) -> int:
    try:
        return int(channel.queue_declare(queue=name, passive=passive).message_count)
    except NotFound:  # the channel has opened itself again
        return 0


class Dispatcher:
    """Publishes what was committed."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, hints: Iterable[Hint]) -> int:
        """Publishes the hints in sets by channel and lane; returns how many attempts they name.

        Inside a task they become its children. A broker's fault is logged, not raised.
        """
        groups: dict[tuple[Channel, Lane], list[int]] = defaultdict(list)
        for hint in hints:
            groups[hint.channel, hint.lane].append(hint.attempt_id)
        published = 0
        for (channel, lane), ids in groups.items():
            for start in range(0, len(ids), IDS_PER_HINT):
                some = ids[start : start + IDS_PER_HINT]
                if not self._publish(channel, lane, some):
                    return published  # a broker that hangs would hang at each of the rest
                published += len(some)
        return published

    def _publish(self, channel: Channel, lane: Lane, ids: Sequence[int]) -> bool:
        try:
            # Celery's own words for the arguments take as long as all the rest of publishing.
            self.send(deliver_task(channel), [ids], lane_queue(channel, lane), shown=f"({ids},)")
        except Exception as error:  # noqa: BLE001  # what was committed must not look like a failure
            log.warning("a hint was not published: %s", type(error).__name__)
            return False
        return True

    def send(
        self,
        task: str,
        args: Sequence[Any],
        queue_name: str,
        *,
        shown: str | None = None,
        expires: float | None = None,
    ) -> None:
        """Publishes one task by name; raises kombu's OperationalError.

        `shown` is what Flower and the logs show instead of the arguments. A worker drops the task
        if it comes to it after `expires` seconds, by its own clock.
        """
        try:
            self._app.send_task(
                task,
                args=args,
                argsrepr=shown,
                expires=expires,
                queue=queue(queue_name),  # type: ignore[arg-type]  # a kombu Queue declares itself
                retry=True,
                retry_policy=PUBLISH_RETRY,
            )
        except AMQPError as refusal:  # kombu makes one of its own of those that it retries only
            raise OperationalError(str(refusal)) from refusal
