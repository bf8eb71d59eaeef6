"""Publishing, and counting what waits, on either kind of broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kombu.exceptions import OperationalError

from cascade import embedded
from cascade.dispatch import Dispatcher, deliver_task, producer_app, queue_lengths, queue_names
from cascade.domain.hint import Hint
from cascade.domain.state import Channel, Lane
from demo.rabbitmq import RabbitMQ


pytestmark = pytest.mark.integration

NOWHERE = ["redis://127.0.0.1:1", "amqp://127.0.0.1:1"]
HINT = Hint(channel=Channel.SMS, lane=Lane.BULK, attempt_id=1)


@pytest.fixture(params=["valkey", "rabbitmq"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A broker on which no worker of another test takes anything."""
    if request.param == "rabbitmq":
        yield request.getfixturevalue("rabbit").url("queues")
        return
    with embedded.valkey(tmp_path, durable=False) as url:
        yield url


def test_a_queue_is_as_long_as_messages_wait_in_it_and_one_that_nobody_used_is_empty(
    url: str,
) -> None:
    before = queue_lengths(url)
    assert list(before) == queue_names()
    dispatcher = Dispatcher(producer_app(url))
    for _ in range(3):
        dispatcher.send(deliver_task(Channel.SMS), [[1]], "sms.bulk")
    assert queue_lengths(url) == before | {"sms.bulk": before["sms.bulk"] + 3}


def test_hints_are_published_to_the_queue_of_their_channel_and_lane(url: str) -> None:
    before = queue_lengths(url)["sms.bulk"]
    assert Dispatcher(producer_app(url)).publish([HINT, HINT]) == 2
    assert queue_lengths(url)["sms.bulk"] == before + 1


@pytest.mark.parametrize("nowhere", NOWHERE)
def test_a_broker_that_is_not_there_is_an_error_for_who_asks_and_none_for_who_hints(
    nowhere: str,
) -> None:
    with pytest.raises(OperationalError):
        queue_lengths(nowhere)
    assert Dispatcher(producer_app(nowhere)).publish([HINT]) == 0


def test_a_rabbitmq_that_refuses_the_login_is_one_that_is_not_there(rabbit: RabbitMQ) -> None:
    refused = replace(rabbit, password="a guess").url("queues")
    with pytest.raises(OperationalError):
        queue_lengths(refused)
    assert Dispatcher(producer_app(refused)).publish([HINT]) == 0
