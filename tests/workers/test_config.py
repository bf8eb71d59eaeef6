"""What the values of config/ promise each other."""

from __future__ import annotations

import inspect

from typing import Any

import amqp
import pytest

from celery.utils.quorum_queues import detect_quorum_queues
from celery.worker.consumer import Consumer
from kombu.utils.imports import symbol_by_name

from cascade.dispatch import (
    AMQP_TRANSPORT,
    CALL,
    POST,
    RECONCILE,
    REDIS_TRANSPORT,
    SYNC,
    TICK,
    deliver_task,
    lane_queue,
    producer_app,
)
from cascade.domain.state import Channel, Lane
from cascade.services.deliver import CLAIMING
from cascade.services.deployment import CALL_DEADLINE, LEASE, SETTLE_PATIENCE
from config.beat import SCHEDULE
from config.celery import SETTINGS
from config.queues import QUEUES, ROUTES
from demo.stack import WORKERS
from workers.consumer import DELAYED_DELIVERY, CascadeConsumer
from workers.make_app import make_app


@pytest.fixture(scope="module")
def tasks() -> set[str]:
    """The names of all tasks that a worker knows, less Celery's own."""
    app = make_app("memory://")
    app.finalize()
    return {name for name in app.tasks if not name.startswith("celery.")}


def seconds(name: str) -> float:
    value: Any = SETTINGS[name]
    return float(value)


def test_there_is_a_task_for_every_channel_and_every_duty(tasks: set[str]) -> None:
    assert tasks == {deliver_task(channel) for channel in Channel} | set(ROUTES)


def test_every_lane_of_every_channel_has_a_queue_and_so_has_every_duty() -> None:
    names = [one.name for one in QUEUES]
    assert len(names) == len(set(names))
    lanes = {lane_queue(channel, lane) for channel in Channel for lane in Lane}
    assert set(names) == lanes | {route["queue"] for route in ROUTES.values()}
    sharing = {name: route["queue"] for name, route in ROUTES.items() if route["queue"] != name}
    assert sharing == {POST: CALL, RECONCILE: SYNC}
    assert SETTINGS["task_create_missing_queues"] is False


def test_every_queue_is_served_and_only_queues_that_exist_are() -> None:
    served = {name for queues, _ in WORKERS.values() for name in queues}
    assert served == {one.name for one in QUEUES}


def test_the_urgent_lane_is_served_first_and_by_a_worker_of_its_own() -> None:
    for channel in Channel:
        queues, _ = WORKERS[channel.value]
        assert queues[0] == lane_queue(channel, Lane.URGENT)
        assert queues[0] in WORKERS["urgent"][0]
    assert {name.rpartition(".")[2] for name in WORKERS["urgent"][0]} == {"urgent"}
    assert REDIS_TRANSPORT["queue_order_strategy"] == "priority"


def test_beat_drives_tasks_that_exist_and_only_late_ticks_are_kept(tasks: set[str]) -> None:
    assert {entry["task"] for entry in SCHEDULE.values()} <= tasks
    for name, entry in SCHEDULE.items():
        expires = entry.get("options", {}).get("expires")  # type: ignore[attr-defined]  # a mapping
        if name == TICK:
            assert expires is None
        else:  # beat's clock may be ahead of the worker's
            assert expires == 3600  # more than any clock is wrong by


def test_a_task_is_not_cut_off_before_its_calls_have_ended_and_are_settled() -> None:
    working = CLAIMING + CALL_DEADLINE + SETTLE_PATIENCE
    assert working < seconds("task_time_limit")
    assert CALL_DEADLINE < LEASE < seconds("task_time_limit")
    assert "task_soft_time_limit" not in SETTINGS  # it would raise in the middle of a settlement


def test_the_broker_gives_a_task_again_only_after_its_hard_limit() -> None:
    assert seconds("task_time_limit") < float(str(REDIS_TRANSPORT["visibility_timeout"]))


def test_nothing_but_json_is_taken_from_the_broker() -> None:
    assert SETTINGS["accept_content"] == ["json"]
    assert SETTINGS["task_serializer"] == SETTINGS["result_serializer"] == "json"


def test_a_task_that_kills_its_worker_is_not_given_to_the_next_one() -> None:
    assert SETTINGS["task_acks_late"] is True
    assert SETTINGS["task_reject_on_worker_lost"] is False
    assert SETTINGS["task_acks_on_failure"] is SETTINGS["task_acks_on_timeout"] is True


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("redis://127.0.0.1:6379/0", REDIS_TRANSPORT),
        ("rediss://127.0.0.1:6379/0", REDIS_TRANSPORT),
        ("amqp://127.0.0.1/cascade", AMQP_TRANSPORT),
        ("amqps://127.0.0.1/cascade", AMQP_TRANSPORT),
    ],
)
def test_the_brokers_address_alone_decides_how_workers_and_clients_talk_to_it(
    url: str, transport: dict[str, object]
) -> None:
    worker, client = make_app(url), producer_app(url)
    assert worker.conf.broker_transport_options == transport
    assert client.conf.broker_transport_options == transport
    # Celery warns of it at every start of a worker on RabbitMQ.
    assert worker.conf.worker_disable_prefetch is (transport is REDIS_TRANSPORT)


def test_rabbitmqs_client_knows_every_option_that_it_is_given() -> None:
    assert set(AMQP_TRANSPORT) <= set(inspect.signature(amqp.Connection).parameters)
    assert AMQP_TRANSPORT["confirm_publish"] is True


def test_on_rabbitmq_queues_are_replicated_and_each_consumer_has_its_own_prefetch() -> None:
    assert {(one.queue_arguments or {}).get("x-queue-type") for one in QUEUES} == {"quorum"}
    app = make_app("amqp://")
    assert app.conf.worker_detect_quorum_queues  # turns global prefetch off, which they lack
    assert detect_quorum_queues(app, "amqp")[0]


def test_on_rabbitmq_no_worker_is_locked_out_by_the_queue_of_its_predecessor() -> None:
    app = make_app("amqp://")
    assert not app.conf.control_queue_exclusive
    assert app.conf.control_queue_durable  # RabbitMQ 4.3 takes no third kind
    assert 0 < app.conf.control_queue_expires <= 60


def test_workers_leave_out_the_step_that_declares_timers_in_the_broker() -> None:
    assert symbol_by_name(str(SETTINGS["worker_consumer"])) is CascadeConsumer
    steps = set(Consumer.Blueprint.default_steps)
    assert steps - set(CascadeConsumer.Blueprint.default_steps) == {DELAYED_DELIVERY}
