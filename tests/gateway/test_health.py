from __future__ import annotations

import asyncio
import socket
import threading
import time

from collections.abc import Iterator

import pytest

from sqlalchemy import Engine
from starlette.applications import Starlette

from cascade.domain.state import AttemptState
from cascade.gateway.health import health_routes
from cascade.storage.database import connect
from tests.gateway.asgi import Answer, Client, talk
from tests.services.journey import Journey


pytestmark = pytest.mark.integration


def healthz(app: Starlette) -> Answer:
    return talk(app, lambda client: client.get("/healthz"))


@pytest.fixture
def app(journey: Journey) -> Starlette:
    return Starlette(routes=health_routes(journey.engine))


@pytest.fixture
def frozen() -> Iterator[Engine]:
    """A database that takes connections and never says a word."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        engine = connect(f"postgresql+psycopg2://u:p@127.0.0.1:{one.getsockname()[1]}/cascade")
        yield engine
        engine.dispose()


def test_a_service_that_does_its_work_is_well(journey: Journey, app: Starlette):
    journey.send()
    journey.tick()

    answer = healthz(app)
    assert answer.status == 200
    assert [line.split(b":")[:2] for line in answer.body.splitlines()] == [
        [b"tick", b" ok"],
        [b"due", b" ok"],
        [b"receipts", b" ok"],
    ]


def test_a_tick_that_stands_still_is_told_by_the_database(journey: Journey, app: Starlette):
    journey.tick()
    journey.advance(11)

    answer = healthz(app)
    assert answer.status == 503
    assert b"tick: red: the last one 1" in answer.body


def test_a_tick_that_does_not_come_to_the_rows_is_told_by_the_oldest_one(
    journey: Journey, app: Starlette
):
    journey.send()
    journey.advance(70)
    journey.change("UPDATE cascade.ticks SET ticked_at = cascade.clock()")

    answer = healthz(app)
    assert answer.status == 503
    assert b"tick: ok" in answer.body
    assert b"due: red: urgent 0 s, normal 6" in answer.body


def test_a_collector_that_stands_still_is_told_by_the_oldest_receipt(
    journey: Journey, app: Starlette
):
    message = journey.send()
    journey.hear_of(message, AttemptState.SENT)
    journey.advance(70)
    journey.tick()

    answer = healthz(app)
    assert answer.status == 503
    assert b"receipts: red: the oldest has waited" in answer.body


def test_trouble_that_is_only_beginning_is_named_and_is_no_alarm(journey: Journey, app: Starlette):
    journey.tick()
    journey.advance(6)

    answer = healthz(app)
    assert answer.status == 200
    assert b"tick: warning" in answer.body


def test_a_gateway_takes_receipts_while_nothing_ticks(journey: Journey, app: Starlette):
    assert healthz(app).status == 503
    assert talk(app, lambda client: client.get("/health")) == Answer(200, b"ok\n")


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_a_database_that_does_not_answer_holds_up_one_thread_however_many_ask(
    frozen: Engine, path: str
):
    app = Starlette(routes=health_routes(frozen, patience=0.2))
    before = set(threading.enumerate())

    async def ask(client: Client) -> list[Answer]:
        return await asyncio.gather(*(client.get(path) for _ in range(50)))

    asked_at = time.monotonic()
    answers = talk(app, ask)
    assert time.monotonic() - asked_at < 2
    assert {(one.status, one.body) for one in answers} == {(503, b"database: TimeoutError\n")}
    assert [one.name for one in set(threading.enumerate()) - before] == ["health_0"]


def test_who_asks_often_is_answered_from_one_look(journey: Journey, app: Starlette):
    journey.tick()

    async def ask(client: Client) -> Answer:
        assert (await client.get("/healthz")).status == 200
        journey.advance(60)
        return await client.get("/healthz")

    assert talk(app, ask).status == 200
    assert healthz(app).status == 503
