"""The gateway as it is started: metrics on a port of their own, logs as one JSON object a line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

from collections.abc import Iterator
from contextlib import closing
from threading import Event

import pytest
import requests

from cascade.dispatch import COLLECT, queue_lengths
from demo.environment import ROOT, make
from tests.gateway.scraped import read
from tests.gateway.test_webhooks import notify


pytestmark = pytest.mark.integration


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


class Running:
    def __init__(
        self, process: subprocess.Popen[str], port: int, metrics_port: int, token: str
    ) -> None:
        self.process = process
        self.token = token  # of notify-vk
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"

    def get(self, url: str) -> requests.Response:
        """Asks until it is answered."""
        until = time.monotonic() + 20
        while True:
            try:
                return requests.get(url, timeout=10)
            except requests.ConnectionError:
                assert self.process.poll() is None
                assert time.monotonic() < until
                Event().wait(0.05)

    def stop(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=20)[1]


@pytest.fixture
def running(ledger, database_url: str, broker_url: str) -> Iterator[Running]:
    port, metrics_port = free_port(), free_port()
    command = [sys.executable, "-m", "cascade.gateway", "--port", str(port)]
    values = make(database_url, broker_url).values
    process = subprocess.Popen(
        [*command, "--metrics-port", str(metrics_port)],
        env=values | {"CASCADE_LOG_FORMAT": "json"},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield Running(process, port, metrics_port, values["CASCADE_NOTIFY_VK_WEBHOOK_TOKEN"])
    process.kill()
    process.wait()


def test_metrics_have_a_port_of_their_own_logs_are_objects_and_a_receipt_nudges_the_collector(
    running: Running, broker_url: str
):
    before = queue_lengths(broker_url)[COLLECT]
    assert running.get(f"{running.url}/health").text == "ok\n"
    assert running.get(f"{running.url}/receipts/smsc/guessed").status_code == 404
    assert running.get(f"{running.url}/metrics").status_code == 404

    now = read(running.get(running.metrics_url).text)

    assert now.value("cascade_up", part="database") == 1
    assert now.value("cascade_up", part="broker") == 1
    assert now.value("cascade_queue_messages", queue="sms.urgent") == 0

    url = f"{running.url}/receipts/notify-vk/{running.token}"
    assert requests.post(url, data=notify(), timeout=10).status_code == 200
    until = time.monotonic() + 20
    while queue_lengths(broker_url)[COLLECT] == before:
        assert time.monotonic() < until
        Event().wait(0.02)
    [line] = [json.loads(line) for line in running.stop().splitlines()]
    assert (line["message"], line["account"]) == ("a webhook has a wrong token", "smsc")
