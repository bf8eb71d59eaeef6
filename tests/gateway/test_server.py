from __future__ import annotations

import socket
import threading

from collections.abc import Iterator

import pytest
import requests
import uvicorn

from starlette.applications import Starlette

from cascade.gateway.app import BODY_LIMIT
from tests.channels.samples import TOKEN
from tests.gateway.test_webhooks import notify
from tests.services.journey import Journey


pytestmark = pytest.mark.integration


@pytest.fixture
def url(app: Starlette) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    serving.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    serving.join()
    listener.close()


def test_a_real_server_takes_a_webhook_over_a_real_socket(journey: Journey, url: str):
    with requests.Session() as session:
        path = f"{url}/receipts/notify-vk/{TOKEN}"
        answer = session.post(path, data=notify(), timeout=10)
        large = session.post(path, data=b"x" * (BODY_LIMIT + 1), timeout=10)
        health = session.get(f"{url}/health", timeout=10)

    assert (answer.status_code, answer.content) == (200, b"")
    assert len(journey.rows("SELECT FROM cascade.receipts")) == 1
    assert large.status_code == 413
    assert health.text == "ok\n"


def test_a_server_that_stops_answers_what_it_has_begun(journey: Journey, url: str):
    with requests.Session() as session:
        answers = [
            session.post(
                f"{url}/receipts/notify-vk/{TOKEN}", data=notify(f"{number:032}"), timeout=10
            ).status_code
            for number in range(20)
        ]

    assert answers == [200] * 20
    assert len(journey.rows("SELECT FROM cascade.receipts")) == 20
