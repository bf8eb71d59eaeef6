from __future__ import annotations

import logging
import secrets
import socket
import time
import uuid

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis

from kombu import Connection, Message, Queue
from typing_extensions import override

from cascade import OnStatus
from cascade.callbacks.brokers import CallbackBrokers, Told, unreachable
from cascade.channels.base import Accepted
from cascade.dispatch import is_amqp
from cascade.domain import engine
from cascade.domain.callback import Callback
from cascade.domain.state import Channel, MessageState
from cascade.logs import TextFormatter
from cascade.services.advance import advance
from cascade.services.call import LEASE, PAUSES, SET, call
from config.celery import SETTINGS
from demo.rabbitmq import RabbitMQ
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration

PATIENCE = 0.3  # seconds
NOWHERE = "redis://127.0.0.1:1/0"  # nothing listens there


@dataclass(frozen=True, slots=True)
class Shop:
    """A caller's app: its broker and the queue that its workers serve."""

    url: str
    queue: str

    @property
    def on_status(self) -> OnStatus:
        return OnStatus(task="shop.on_status", queue=self.queue)

    def called(self) -> list[dict[str, Any]]:
        """The arguments of the calls that wait in the queue, which is emptied."""
        return [message.payload[1] for message in self.messages()]

    def messages(self) -> list[Message]:
        with Connection(self.url) as connection:
            queue = Queue(self.queue, channel=connection.channel())
            return list(iter(lambda: queue.get(no_ack=True), None))


@contextmanager
def a_shop(url: str) -> Iterator[Shop]:
    """On RabbitMQ with a quorum queue, which another declaration would clash with."""
    name = f"shop-{secrets.token_hex(4)}"
    with Connection(url) as connection:
        channel: Any = connection.channel()
        if is_amqp(url):
            arguments = {"x-queue-type": "quorum"}
            channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        yield Shop(url, name)
        channel.queue_delete(name)


@pytest.fixture
def shop(broker_url: str) -> Iterator[Shop]:
    with a_shop(broker_url) as shop:
        yield shop


@pytest.fixture
def shop_on_rabbitmq(rabbit: RabbitMQ) -> Iterator[Shop]:
    with a_shop(rabbit.url("tests")) as shop:
        yield shop


@pytest.fixture
def brokers(shop: Shop) -> CallbackBrokers:
    return at(shop.url)


def at(url: str, **more: str) -> CallbackBrokers:
    return CallbackBrokers({"default": url, **more}, patience=PATIENCE)


def run(journey: Journey, brokers: CallbackBrokers, *, after: float = 1) -> Counter[str]:
    """One run of the task, some seconds after what was before."""
    journey.advance(after)
    return call(journey.ledger, brokers)


def cancelled(journey: Journey, on_status: OnStatus) -> uuid.UUID:
    message_id = journey.send(on_status=on_status)
    assert journey.cascade.cancel(message_id)
    return message_id


def promoted(journey: Journey, on_status: OnStatus) -> uuid.UUID:
    """A message that was undelivered, then delivered after all."""
    journey.policy(a_step(Channel.VK, ttl=15), name="vk")
    message_id = journey.send(policy="vk", on_status=on_status)
    journey.call(message_id, Accepted())
    journey.advance(18)
    journey.tick()
    journey.deliver(message_id)
    return message_id


def owed(journey: Journey, message_id: uuid.UUID) -> list[tuple[int, bool]]:
    """(tries, told) of its events."""
    rows = journey.rows(
        "SELECT tries, told_at IS NOT NULL FROM cascade.events WHERE message_id = :id"
        " ORDER BY sequence",
        id=message_id,
    )
    return [tuple(row) for row in rows]


def callbacks(shop: Shop, number: int) -> list[Callback]:
    return [
        Callback(
            event_id=place,
            message_id=uuid.uuid4(),
            sequence=1,
            state=MessageState.DELIVERED,
            tries=1,
            to=shop.on_status,
        )
        for place in range(number)
    ]


def test_the_callers_task_is_called_in_order_with_id_state_and_sequence(
    journey: Journey, shop: Shop, brokers: CallbackBrokers
) -> None:
    message_id = promoted(journey, shop.on_status)

    assert run(journey, brokers) == Counter(claimed=2, told=2)

    calls = [("undelivered", 1), ("delivered", 2)]
    assert shop.called() == [
        {"message_id": str(message_id), "state": state, "sequence": sequence}
        for state, sequence in calls
    ]
    assert run(journey, brokers) == Counter()


def test_nobody_is_called_who_did_not_ask(journey: Journey, brokers: CallbackBrokers) -> None:
    journey.cascade.cancel(journey.send())

    assert run(journey, brokers) == Counter()


def test_the_message_on_the_broker_is_an_ordinary_task_of_the_callers_app(
    journey: Journey, shop: Shop, brokers: CallbackBrokers
) -> None:
    message_id = cancelled(journey, shop.on_status)
    run(journey, brokers)

    [message] = shop.messages()

    assert message.headers["task"] == "shop.on_status"
    assert message.content_type == "application/json"
    assert message.payload[0] == []
    assert message.headers["root_id"] == str(message_id)
    assert str(message.properties["delivery_mode"]) == "2"  # kept over a restart


def test_nothing_is_declared_on_the_callers_broker(
    journey: Journey, shop: Shop, brokers: CallbackBrokers
) -> None:
    if is_amqp(shop.url):
        pytest.skip("RabbitMQ refuses what would alter its queue; the others show that none is")
    with redis.Redis.from_url(shop.url) as client:
        before = set(client.keys())
        cancelled(journey, shop.on_status)
        run(journey, brokers)
        assert set(client.keys()) - before == {shop.queue.encode()}


def test_a_broker_that_was_away_is_told_everything_in_order_when_it_is_back(
    journey: Journey, shop: Shop, brokers: CallbackBrokers, caplog: pytest.LogCaptureFixture
) -> None:
    away = at(NOWHERE)
    message_id = promoted(journey, shop.on_status)

    assert run(journey, away) == Counter(claimed=1, failed=1)
    assert run(journey, away) == Counter()  # it waits, and so does what comes after it
    assert run(journey, away, after=5) == Counter(claimed=1, failed=1)
    assert owed(journey, message_id) == [(2, False), (0, False)]
    assert "callback broker 'default'" in caplog.text

    assert run(journey, brokers, after=30) == Counter(claimed=2, told=2)
    assert [one["sequence"] for one in shop.called()] == [1, 2]


def test_after_ten_tries_it_is_given_up_with_an_alert_and_the_next_event_goes(
    journey: Journey, shop: Shop, brokers: CallbackBrokers, caplog: pytest.LogCaptureFixture
) -> None:
    away = at(NOWHERE)
    message_id = promoted(journey, shop.on_status)

    tries = [run(journey, away, after=pause) for pause in (1, *PAUSES)]

    assert tries[:-1] == [Counter(claimed=1, failed=1)] * 9
    assert tries[-1]["given_up"] == 1
    assert owed(journey, message_id)[0] == (10, False)
    [event] = journey.rows(
        "SELECT id FROM cascade.events WHERE message_id = :id AND sequence = 1", id=message_id
    )
    [alert] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert TextFormatter().format(alert).endswith(f"callers will not be told event_ids={event.id}")
    run(journey, brokers, after=5)
    assert [one["sequence"] for one in shop.called()] == [2]


def test_a_broker_that_nobody_knows_is_a_failed_try_with_an_alert(
    journey: Journey, shop: Shop, brokers: CallbackBrokers, caplog: pytest.LogCaptureFixture
) -> None:
    lost = cancelled(journey, OnStatus(task="t", queue="q", broker="typo"))
    told = cancelled(journey, shop.on_status)

    assert run(journey, brokers) == Counter(claimed=2, told=1, failed=1)

    assert (owed(journey, lost), owed(journey, told)) == ([(1, False)], [(1, True)])
    [alert] = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert alert == "CASCADE_CALLBACK_BROKERS does not name the broker 'typo'"


def test_a_broker_that_never_answers_costs_the_others_one_wait(
    journey: Journey, shop: Shop
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        brokers = at(shop.url, silent=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        for _ in range(5):
            cancelled(journey, OnStatus(task="t", queue="q", broker="silent"))
        cancelled(journey, shop.on_status)
        begun = time.monotonic()

        assert run(journey, brokers) == Counter(claimed=6, told=1, failed=5)

    assert time.monotonic() - begun < 5 * PATIENCE
    assert len(shop.called()) == 1


class Slow(CallbackBrokers):
    """Each costs as much time as a run has, and then cannot be reached."""

    def __init__(self) -> None:
        super().__init__({})
        self.asked: list[str] = []

    @override
    def tell(self, broker: str, callbacks: Sequence[Callback], *, stop_at: float) -> Told:
        self.asked.append(broker)
        while time.monotonic() < stop_at:
            pass
        return unreachable(callbacks)


def test_brokers_that_a_run_has_no_time_for_are_not_tried_and_lose_no_try(
    journey: Journey,
) -> None:
    brokers = [f"frozen-{number}" for number in range(15)]
    sent = [cancelled(journey, OnStatus(task="t", queue="q", broker=one)) for one in brokers]
    slow = Slow()
    journey.advance(1)

    tally = call(journey.ledger, slow, working=0.05)

    assert len(slow.asked) == 1
    assert tally == Counter(claimed=15, failed=1)
    assert [owed(journey, one) for one in sent].count([(0, False)]) == 14


@pytest.mark.parametrize("url", ["nonsense://secret@host", "redis://u:secret@host:port/0"])
def test_an_address_that_cannot_be_used_is_a_failed_try_and_is_not_told(
    shop: Shop, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    [one] = callbacks(shop, 1)

    told = at(url).tell("default", [one], stop_at=time.monotonic() + 10)

    assert told == Told(failed={one.event_id}, is_reachable=False)
    assert "secret" not in caplog.text


def test_a_call_that_cannot_be_made_fails_alone(shop: Shop, brokers: CallbackBrokers) -> None:
    first, bad, last = callbacks(shop, 3)
    bad = replace(bad, to=OnStatus(task="t", queue="\ud800" * 100))  # no broker takes that

    told = brokers.tell("default", [first, bad, last], stop_at=time.monotonic() + 10)

    assert told == Told(told={0, 2}, failed={1})
    assert len(shop.called()) == 2


def test_when_a_broker_is_lost_on_the_way_the_rest_is_not_tried(
    shop: Shop, brokers: CallbackBrokers
) -> None:
    if is_amqp(shop.url):
        pytest.skip("RabbitMQ cannot be told to fall silent")
    with redis.Redis.from_url(shop.url) as client:
        client.execute_command("CLIENT PAUSE 10000 WRITE")  # it greets, and then takes nothing
        try:
            told = brokers.tell("default", callbacks(shop, 3), stop_at=time.monotonic() + 10)
        finally:
            client.execute_command("CLIENT UNPAUSE")

    assert told == Told(failed={0})


def test_a_run_that_has_no_time_left_tries_nothing(shop: Shop, brokers: CallbackBrokers) -> None:
    assert brokers.tell("default", callbacks(shop, 3), stop_at=time.monotonic() - 1) == Told()


class Unlucky(CallbackBrokers):
    """Whose process dies when it has published, before it could write that down."""

    @override
    def tell(self, broker: str, callbacks: Sequence[Callback], *, stop_at: float) -> Told:
        super().tell(broker, callbacks, stop_at=stop_at)
        raise SystemExit


def test_after_a_crash_the_same_call_comes_again_and_can_be_known_by_its_id(
    journey: Journey, shop: Shop, brokers: CallbackBrokers
) -> None:
    cancelled(journey, shop.on_status)
    with pytest.raises(SystemExit):
        run(journey, Unlucky({"default": shop.url}))

    assert run(journey, brokers) == Counter()  # its lease holds
    assert run(journey, brokers, after=LEASE.total_seconds())["told"] == 1

    first, again = shop.messages()
    assert first.headers["id"] == again.headers["id"]
    assert first.body == again.body


class Lost(CallbackBrokers):
    """Whose line breaks before anything is tried."""

    @override
    def tell(self, broker: str, callbacks: Sequence[Callback], *, stop_at: float) -> Told:
        return Told()


def test_calls_that_were_not_tried_keep_their_tries_and_come_again_soon(
    journey: Journey, shop: Shop, brokers: CallbackBrokers
) -> None:
    message_id = cancelled(journey, shop.on_status)

    run(journey, Lost({"default": shop.url}))

    assert owed(journey, message_id) == [(0, False)]
    assert run(journey, brokers, after=5)["told"] == 1


def test_a_broker_that_is_away_is_tried_once_in_a_run_however_many_calls_wait(
    journey: Journey, shop: Shop, brokers: CallbackBrokers, caplog: pytest.LogCaptureFixture
) -> None:
    journey.cascade.send_many(
        [{"to": PHONE}] * (SET + 1), text=WORDS, on_status=replace(shop.on_status, broker="away")
    )
    cancel_all(journey)
    told = cancelled(journey, shop.on_status)

    tally = run(journey, at(shop.url, away=NOWHERE))

    assert tally == Counter(claimed=SET + 2, told=1, failed=SET + 1)
    assert owed(journey, told) == [(1, True)]
    assert caplog.text.count("callback broker 'away'") == 1


def cancel_all(journey: Journey) -> None:
    ids = [one.id for one in journey.rows("SELECT id FROM cascade.messages")]
    events = {one: [engine.cancel] for one in ids}
    journey.ledger.store.transaction(lambda t: advance(t, journey.ledger, events))


def test_two_beats_make_one_run_a_second(journey: Journey, brokers: CallbackBrokers) -> None:
    run(journey, brokers)

    assert run(journey, brokers, after=0) == Counter(second=1)


def test_a_lease_outlasts_every_task_that_could_still_publish() -> None:
    assert LEASE.total_seconds() > float(str(SETTINGS["task_time_limit"]))


def test_rabbitmq_loses_no_call_for_want_of_a_queue_and_keeps_its_queues_as_they_are(
    shop_on_rabbitmq: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    first, astray, last = callbacks(shop_on_rabbitmq, 3)
    astray = replace(astray, to=OnStatus(task="t", queue="nowhere"))
    set_of_them = [first, astray, last]

    told = at(shop_on_rabbitmq.url).tell("default", set_of_them, stop_at=time.monotonic() + 10)

    assert told == Told(told={0, 2}, failed={1})
    assert "the callback of event 1: NoQueueError" in caplog.text
    heard = [one["message_id"] for one in shop_on_rabbitmq.called()]
    assert heard == [str(first.message_id), str(last.message_id)]
