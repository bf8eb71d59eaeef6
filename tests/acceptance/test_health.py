from __future__ import annotations

import os
import signal

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from click.testing import CliRunner
from sqlalchemy import text

from cascade.cli.main import main
from cascade.dispatch import producer_app
from tests.acceptance.processes import family
from tests.acceptance.service import Service
from tests.acceptance.waiting import until


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def healthz(service: Service) -> requests.Response:
    return requests.get(f"{service.stack.running().gateway_url}/healthz", timeout=10)


def pings(service: Service, name: str) -> bool:
    app = producer_app(service.stack.environ["CASCADE_BROKER_URL"])
    return bool(app.control.ping(destination=[f"{name}@cascade"], timeout=5.0, limit=1))


@contextmanager
def frozen_children(service: Service, name: str) -> Iterator[None]:
    """The worker itself goes on, and so answers; who should do its work stands still."""
    worker = service.stack.processes[name].popen.pid
    children = [one.pid for one in family(worker) if one.pid != worker]
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in children:
            os.kill(pid, signal.SIGCONT)


def test_a_worker_that_answers_and_does_nothing_is_told_by_what_is_not_done(
    service: Service,
) -> None:
    until(lambda: healthz(service).status_code == 200, seconds=20, what="health")
    with frozen_children(service, "tick"):
        with service.engine.begin() as connection:  # instead of waiting for so long
            ago = "UPDATE cascade.ticks SET ticked_at = ticked_at - interval '1 minute'"
            connection.execute(text(f"{ago} WHERE name = 'tick'"))
        assert pings(service, "tick")
        until(lambda: healthz(service).status_code == 503, seconds=5, what="alarm")
        assert "tick: red" in healthz(service).text
        doctor = CliRunner().invoke(main, ["doctor", "--only", "tick"], env=service.stack.environ)
        assert doctor.exit_code == 1, doctor.output
    until(lambda: healthz(service).status_code == 200, seconds=20, what="recovery")
