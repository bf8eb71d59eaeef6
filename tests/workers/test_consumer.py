"""What happens to a worker whose broker dies with tasks in its hands."""

from __future__ import annotations

import logging

from types import SimpleNamespace

import pytest

from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.transport.virtual import Channel, Message
from typing_extensions import override

from workers.consumer import CascadeConsumer
from workers.make_app import make_app


NOBODY = "redis://127.0.0.1:1/0"

# What kombu does with a channel of a connection that is closed already.
GONE = AttributeError("'NoneType' object has no attribute 'hostname'")


class DeadConnection(Connection):
    @override
    def release(self) -> None:
        raise GONE

    close = release


class DeadChannel(Channel):
    def __init__(self) -> None:
        pass

    @override
    def basic_ack(self, *_: object, **__: object) -> None:
        raise GONE


@pytest.fixture
def consumer() -> CascadeConsumer:
    pool = SimpleNamespace(is_green=False)
    controller = SimpleNamespace(use_eventloop=True)
    return CascadeConsumer(lambda _: None, app=make_app(NOBODY), pool=pool, controller=controller)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_connection_that_cannot_even_be_closed_is_let_go(consumer: CascadeConsumer) -> None:
    consumer.connection = DeadConnection(NOBODY)

    consumer.on_connection_error_after_connected(OperationalError("closed by server"))

    assert consumer.connection is None


def test_a_task_of_a_lost_connection_is_not_acknowledged_and_the_worker_lives_on(
    consumer: CascadeConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    message = Message({"properties": {"delivery_tag": "1"}}, channel=DeadChannel())

    message.ack_log_error(logging.getLogger("celery"), consumer.connection_errors)

    assert not message.acknowledged
    assert "Couldn't ack" in caplog.text
