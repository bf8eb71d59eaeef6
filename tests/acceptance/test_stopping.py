from __future__ import annotations

import os
import secrets
import signal
import sys

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.processes import Alive, alive, bearing, family
from tests.acceptance.run import Run, demo_run
from tests.acceptance.service import Service
from tests.acceptance.waiting import until


pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

MOMENTS = ("schema", "workers", "ended; attempts")  # words of the demo's, as each begins


@pytest.fixture
def mark() -> str:
    """In the environment of a demo and of all that it starts."""
    return f"mark-{secrets.token_hex(8)}"


@pytest.fixture
def demo(mark: str, tmp_path: Path) -> Iterator[Run]:
    with demo_run(tmp_path, "--messages", "20", variables={"DEMO_MARK": mark}) as run:
        yield run


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_stops_every_process_that_the_demo_started_and_no_other(
    service: Service,
    demo: Run,
    mark: str,
    moment: str,
) -> None:
    process = demo.process
    # Not simply all that is ours: another demo may end by itself meanwhile, and PostgreSQL's own
    # short-lived processes do.
    others = set[Alive]().union(*(family(p.popen.pid) for p in service.stack.processes.values()))
    until(lambda: moment in demo.said(), seconds=60, what=f"{moment} of the demo")
    started = family(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert len(started) > 1
    assert alive(started | bearing(mark)) == set()
    assert "Traceback" not in demo.said()
    assert alive(others) == others
    service.stack.check()
    assert service.rows("SELECT 1") == [(1,)]
    assert service.broker().answers()


def test_an_impatient_second_ctrl_c_leaves_nothing_behind_either(demo: Run, mark: str) -> None:
    process = demo.process
    until(lambda: "workers" in demo.said(), seconds=60, what="workers of the demo")
    os.killpg(process.pid, signal.SIGINT)
    until(lambda: "stopped" in demo.said(), seconds=20, what="beginning of the end")
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert bearing(mark) == set()
