from __future__ import annotations

import os

import pytest

from cascade.sandbox.ledger import Ledger
from cascade.sandbox.weather import Forecast, Weather
from tests.sandbox.receiver import Receiver
from tests.sandbox.running import Running, config_of


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def sandbox_in(receiver, tmp_path):
    """Starts a sandbox in some weather, everywhere the same."""
    url = f"{receiver.url}/webhooks"
    started = []

    def start(*, sync=os.fdatasync, **shares):
        ledger = Ledger(tmp_path / "ledger.jsonl", sync=sync)
        forecast = Forecast(Weather(**shares))
        started.append(Running(config_of(url), ledger, webhook_url=url, forecast=forecast))
        return started[-1]

    yield start
    for running in started:
        running.close()


@pytest.fixture
def sandbox(sandbox_in):
    return sandbox_in()
