"""Calling tasks of callers' own Celery apps, on their own brokers.

The brokers are foreign: nothing is declared or altered there, and none may hold up the others.
"""

from __future__ import annotations

import logging
import time

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from celery import Celery
from kombu import Connection, Producer, Queue

from cascade.dispatch import is_amqp
from cascade.domain.callback import Callback
from cascade.domain.errors import shown


log = logging.getLogger(__name__)

PATIENCE = 3.0  # seconds for a connection, and then for each answer


@dataclass(slots=True)
class Told:
    """What became of a set, by ids of events; those in neither were not tried."""

    told: set[int] = field(default_factory=set)  # the broker has taken them
    failed: set[int] = field(default_factory=set)
    is_reachable: bool = True


class NoQueueError(Exception):
    """RabbitMQ has no such queue, and would have dropped the message in silence."""


class CallbackBrokers:
    """The callers' brokers, by the names that `OnStatus` gives them."""

    def __init__(self, urls: Mapping[str, str], *, patience: float = PATIENCE) -> None:
        """`patience`: seconds that a broker is waited for."""
        self._urls = dict(urls)
        self._patience = patience
        self._app = Celery("cascade.callbacks", set_as_current=False)  # knows a task's wire form
        self._app.conf.update(task_serializer="json")

    def tell(self, broker: str, callbacks: Sequence[Callback], *, stop_at: float) -> Told:
        """Publishes the calls in their order until `stop_at` of the monotonic clock; never raises.

        Without a way to the broker all fail; when it is lost on the way, one fails and the rest
        is not tried.
        """
        if broker not in self._urls:
            log.error("CASCADE_CALLBACK_BROKERS does not name the broker %s", shown(broker))
            return unreachable(callbacks)
        try:
            with _connected(self._urls[broker], self._patience) as connection:
                line = _Line(self._app, connection)
                return line.publish_all(callbacks, stop_at=stop_at)
        except Exception as error:  # noqa: BLE001  # whatever a driver raises: the others go on
            # Without its text: of a malformed address that would be the address.
            log.warning("callback broker %s: %s", shown(broker), type(_cause(error)).__name__)
            return unreachable(callbacks)


def unreachable(callbacks: Sequence[Callback]) -> Told:
    """All have failed for want of a way to their broker."""
    return Told(failed={one.event_id for one in callbacks}, is_reachable=False)


class _Line:
    """A connection that publishes."""

    def __init__(self, app: Celery, connection: Connection) -> None:
        self._app = app
        self._lost = (*connection.connection_errors, OSError)
        self._returned: list[object] = []
        is_confirming = connection.transport.driver_type == "amqp"
        self._producer = Producer(
            connection.channel(),
            auto_declare=False,
            on_return=self._note_return if is_confirming else None,
        )

    def publish_all(self, callbacks: Sequence[Callback], *, stop_at: float) -> Told:
        """Publishes in order, up to the first loss of the connection or the end of the time."""
        outcome = Told()
        for one in callbacks:
            if time.monotonic() >= stop_at:
                break
            try:
                self._publish(one)
            except Exception as error:  # noqa: BLE001  # one bad call must not stop the others
                cause = _cause(error)
                log.warning("the callback of event %d: %s", one.event_id, type(cause).__name__)
                outcome.failed.add(one.event_id)
                if isinstance(cause, self._lost):
                    break
            else:
                outcome.told.add(one.event_id)
        return outcome

    def _publish(self, callback: Callback) -> None:
        self._returned.clear()
        message_id = str(callback.message_id)
        self._app.send_task(
            callback.to.task,
            kwargs={
                "message_id": message_id,
                "state": callback.state.value,
                "sequence": callback.sequence,
            },
            task_id=callback.id,
            root_id=message_id,  # else our own task would be the root
            parent_id=message_id,
            queue=Queue(callback.to.queue, no_declare=True),  # type: ignore[arg-type]  # a kombu Queue
            producer=self._producer,
            mandatory=True,  # RabbitMQ gives back what no queue takes
            retry=False,
            ignore_result=True,
            add_to_parent=False,
        )
        if self._returned:
            raise NoQueueError

    def _note_return(self, *what: object) -> None:
        self._returned.append(what)


@contextmanager
def _connected(url: str, patience: float) -> Iterator[Connection]:
    options = _transport_options(url, patience)
    with Connection(url, connect_timeout=patience, transport_options=options) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=1)
        yield connection


def _transport_options(url: str, patience: float) -> dict[str, object]:
    """As short as a broker that is not ours deserves; no key prefix: it would not be the app's."""
    if is_amqp(url):
        # Without confirms nobody would hear that a message is lost.
        return {"confirm_publish": True, "read_timeout": patience, "write_timeout": patience}
    return {
        "socket_connect_timeout": patience,
        "socket_timeout": patience,
        "retry_on_timeout": False,  # the outbox tries again, and counts
    }


def _cause(error: Exception) -> BaseException:
    """What the driver raised, out of kombu's wrapping."""
    return error.__cause__ or error
