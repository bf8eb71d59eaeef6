"""Every service of docker-compose.yml, started by its own command on embedded servers."""

from __future__ import annotations

import json
import signal

import pytest

from tests.deploy.compose import Service
from tests.deploy.conftest import SERVERS
from tests.deploy.running import Machine


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

TEXT = "Код подтверждения: 1234. Никому его не сообщайте."


def test_the_stack_delivers_a_message_through_every_channel_and_stops_in_order(
    machine: Machine, compose: dict[str, Service]
) -> None:
    assert set(machine.started) == compose.keys() - SERVERS - {"migrate"}
    vk = compose["vk"]
    healthy = machine.run(vk, vk.health)
    assert healthy.returncode == 0, healthy.stdout

    send = ["send", "--to", "+79161044441", "--text", TEXT, "--wait", "--timeout", "60", "--json"]
    sent = machine.run(vk, ["cascade", *send])
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["channel"] == "sms"
    for name in ("vk", "ok", "viber", "whatsapp", "sms"):
        assert f"deliver.{name}" in machine.started[name].said()

    codes = machine.stop()
    # uvicorn ends in order, and then by the signal that asked for it.
    assert codes.pop("gateway") == -signal.SIGTERM
    assert set(codes.values()) == {0}, codes
