"""A committed webhook has its receipts collected at once; nothing depends on it."""

from __future__ import annotations

import functools
import logging
import time

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from kombu import Connection

from cascade.channels.base import Adapter
from cascade.dispatch import (
    COLLECT,
    Dispatcher,
    producer_app,
    queue,
    queue_lengths,
    transport_options,
)
from cascade.gateway.app import make_app
from cascade.gateway.nudge import BUSY, EXPIRES, Nudge
from cascade.services.deployment import Ledger
from tests.gateway.asgi import Client, talk
from tests.gateway.test_webhooks import NOTIFY, notify, post
from tests.services.journey import Journey


pytestmark = pytest.mark.integration

AN_HOUR = 3600.0
NOBODY = "redis://127.0.0.1:1/0"  # a broker that is away


def until(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < limit
        Event().wait(0.005)


def sending(broker_url: str) -> Callable[[], None]:
    dispatcher = Dispatcher(producer_app(broker_url))
    return functools.partial(dispatcher.send, COLLECT, [], COLLECT, expires=EXPIRES)


@pytest.fixture
def broker(broker_url: str) -> Iterator[Any]:
    """A channel to the broker, which holds no hint to collect."""
    options = transport_options(broker_url)
    with Connection(broker_url, transport_options=options) as connection:
        channel: Any = connection.default_channel
        queue(COLLECT)(channel).declare()
        channel.queue_purge(COLLECT)
        yield channel
        channel.queue_purge(COLLECT)


@pytest.fixture
def posting(ledger: Ledger, adapters: dict[str, Adapter]) -> Callable[..., list[int]]:
    """Posts bodies one after another to a gateway that tells `committed`."""

    def work(committed: Callable[[], None], *bodies: bytes) -> list[int]:
        app = make_app(
            adapters=adapters,
            keyring=ledger.keyring,
            engine=ledger.engine,
            trusted_hops=0,
            committed=committed,
        )

        async def ask(client: Client) -> list[int]:
            return [(await client.post(NOTIFY, body)).status for body in bodies]

        return talk(app, ask)

    return work


def test_a_crowd_of_webhooks_is_one_hint_that_expires(
    broker: Any, broker_url: str, posting: Callable[..., list[int]]
):
    bodies = [notify(f"{number:032}") for number in range(20)]
    with Nudge(sending(broker_url), pause=AN_HOUR) as nudge:
        assert posting(nudge, *bodies) == [200] * 20
        until(lambda: queue_lengths(broker_url)[COLLECT] > 0)

    assert queue_lengths(broker_url)[COLLECT] == 1
    message = broker.basic_get(COLLECT, no_ack=True)
    assert message.headers["task"] == COLLECT
    assert message.headers["expires"] is not None


def test_what_comes_while_one_is_sent_is_one_more_after_the_pause():
    sent: list[int] = []
    may_go_on = Event()

    def send() -> None:
        sent.append(1)
        assert may_go_on.wait(20)

    with Nudge(send, pause=0.01) as nudge:
        nudge()
        until(lambda: len(sent) == 1)
        for _ in range(1000):
            nudge()
        may_go_on.set()
        until(lambda: len(sent) == 2)
        Event().wait(0.1)
        assert len(sent) == 2


@pytest.mark.parametrize(("commits", "pauses"), [(1, 1), (BUSY - 1, 1), (BUSY, 2)])
def test_a_busy_gateway_asks_half_as_often(
    monkeypatch: pytest.MonkeyPatch, commits: int, pauses: int
):
    seen: list[str] = []
    nudge = Nudge(lambda: seen.append("sent"), pause=AN_HOUR)

    def pause(_seconds: float) -> None:
        seen.append("pause")
        if seen.count("pause") == 1:
            for _ in range(commits):
                nudge()

    monkeypatch.setattr(nudge._stopped, "wait", pause)
    with nudge:
        nudge()
        until(lambda: seen.count("sent") == 2)

    assert seen[: pauses + 2] == ["sent", *["pause"] * pauses, "sent"]


def test_only_new_receipts_ask_for_it(
    journey: Journey, posting: Callable[..., list[int]], gone, adapters, ledger: Ledger
):
    asked: list[int] = []
    committed = lambda: asked.append(len(journey.rows("SELECT FROM cascade.receipts")))  # noqa: E731  # what it saw

    assert posting(committed, notify(), notify(), b"{}", notify(status="read")) == [
        200,
        200,
        400,
        200,
    ]
    assert asked == [1, 2]  # they are committed by then

    sick = make_app(
        adapters=adapters,
        keyring=ledger.keyring,
        engine=gone,
        trusted_hops=0,
        committed=committed,
    )
    assert post(sick, NOTIFY, notify("1" * 32)).status == 503
    assert asked == [1, 2]


def test_a_broker_that_hangs_holds_up_no_webhook(posting: Callable[..., list[int]]):
    hanging = Event()
    with Nudge(lambda: hanging.wait(20)) as nudge:
        assert posting(nudge, notify(), notify("1" * 32)) == [200, 200]
        assert not hanging.is_set()
    hanging.set()


def test_a_broker_that_is_away_is_told_of_once(
    posting: Callable[..., list[int]], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="cascade")
    tried: list[int] = []
    send = sending(NOBODY)

    def count() -> None:
        try:
            send()
        finally:
            tried.append(1)

    with Nudge(count, pause=0.0) as nudge:
        assert posting(nudge, notify()) == [200]
        until(lambda: len(tried) == 1)
        assert posting(nudge, notify("1" * 32)) == [200]
        until(lambda: len(tried) == 2)

    mine = [one.message for one in caplog.records if one.name == "cascade.gateway.nudge"]
    assert mine == ["the collector was not nudged: OperationalError"]
