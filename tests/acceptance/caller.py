"""An app that wants to be told: a worker of its own on a broker of its own that may go away."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cascade.domain.event import OnStatus
from cascade.embedded import start_valkey
from demo.process import start, stop


class Caller:
    """The app, whose broker runs and whose worker does not yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._heard = directory / "heard"
        self._server = start_valkey(directory, durable=True)
        self.url = self._server.url
        self.on_status = OnStatus(task="caller.on_status", queue="caller", broker="caller")

    @contextmanager
    def without_broker(self) -> Iterator[None]:
        """Its broker is away while the block runs, and at the same address again after it."""
        self._server.stop()
        try:
            yield
        finally:
            command = self._server.process.args
            with (self._directory / "broker.log").open("ab") as log:
                again = subprocess.Popen(command, stdout=log, stderr=log)  # as it was started
            self._server = replace(self._server, process=again)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Its worker runs while the block does."""
        options = ["worker", "--pool", "solo", "--queues", "caller", "--loglevel", "INFO"]
        app = ["--app", "tests.acceptance.caller_app"]
        worker = start(
            "caller",
            [sys.executable, "-m", "celery", *app, *options],
            environ=os.environ | {"CALLER_BROKER_URL": self.url, "CALLER_HEARD": str(self._heard)},
            directory=self._directory,
        )
        try:
            yield
        finally:
            stop([worker])

    def heard(self) -> list[dict[str, Any]]:
        """The arguments with which its task was called, in order."""
        lines = self._heard.read_text("utf-8").splitlines() if self._heard.exists() else []
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Stops its broker."""
        self._server.stop()
