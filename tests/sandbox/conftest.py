from __future__ import annotations

import pytest

from tests.sandbox.receiver import Receiver
from tests.sandbox.running import Running, config_of


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def sandbox(receiver, tmp_path):
    url = f"{receiver.url}/webhooks"
    running = Running(config_of(url), tmp_path / "ledger.jsonl", webhook_url=url)
    yield running
    running.close()
