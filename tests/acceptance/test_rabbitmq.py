"""RabbitMQ instead of Valkey, by its URL alone.

`CASCADE_TEST_BROKER=rabbitmq` takes all tests of this folder to it; these run anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from amqp.exceptions import NotFound, PreconditionFailed
from kombu import Connection

from cascade import MessageState
from cascade.dispatch import queue_names
from demo.__main__ import SCALE
from demo.figures import read_figures
from demo.rabbitmq import RabbitMQ
from demo.stack import Stack
from tests.acceptance.conftest import NUMBERS, serve
from tests.acceptance.service import Service


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

ONE_FOR_ALL = {"all": (queue_names(), 4)}  # of a machine's seconds most go into starting workers


@pytest.fixture(scope="module")
def on_rabbitmq(
    postgres_url: str, rabbit: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    stack = Stack(
        tmp_path_factory.mktemp("rabbitmq"),
        seed=1,
        scale=SCALE,
        database_url=postgres_url,
        broker_url=rabbit.url("campaign"),
        workers=ONE_FOR_ALL,
        has_flower=False,
    )
    try:
        stack.start(lambda _: None)
        with serve(stack, rabbit.home) as service:
            yield service
    finally:
        stack.stop()


def test_every_message_of_a_campaign_ends_and_the_books_are_equal(on_rabbitmq: Service) -> None:
    ids = on_rabbitmq.send_many(NUMBERS.values())
    on_rabbitmq.await_final(ids)
    on_rabbitmq.await_quiet()
    states = [on_rabbitmq.status(one).state for one in ids]
    assert states == [
        MessageState.UNDELIVERED if name == "nowhere" else MessageState.DELIVERED
        for name in NUMBERS
    ]
    assert max(on_rabbitmq.accepted_events(ids).values()) == 1
    ledger = on_rabbitmq.stack.sandbox_ledger
    assert read_figures(on_rabbitmq.ledger, ledger, pending=0, seconds=0).books.is_balanced


def test_its_queues_are_quorum_queues_and_there_are_none_for_timers(
    on_rabbitmq: Service, rabbit: RabbitMQ
) -> None:
    classic = {"x-queue-type": "classic"}
    with Connection(rabbit.url("campaign")) as connection:
        channel: Any = connection.channel()
        for name in queue_names():
            with pytest.raises(PreconditionFailed, match="inequivalent arg 'x-queue-type'"):
                channel.queue_declare(name, durable=True, auto_delete=False, arguments=classic)
        with pytest.raises(NotFound):
            channel.queue_declare("celery_delayed_0", passive=True)
