"""Examples as their readers start them: processes of their own, with the environment of `make up`."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

import requests

from sqlalchemy import Row, text

from cascade.storage.database import connect
from demo.environment import ROOT
from demo.process import start, stop
from demo.stack import Stack
from tests.acceptance.waiting import until


class Examples:
    """Runs them on one stack; servers go on until the end."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._servers = ExitStack()
        self._engine = connect(stack.environ["CASCADE_DATABASE_URL"])
        self.environ = stack.environ

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()
        self._engine.dispose()

    def begin(self, command: str) -> subprocess.Popen[str]:
        """Starts a script, as `one_time_code.py +7916…` or `-m package.module`."""
        return subprocess.Popen(
            [sys.executable, *shlex.split(command)],
            cwd=ROOT,
            env=self.environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def end(self, script: subprocess.Popen[str]) -> list[str]:
        """The lines that a script has said, once it has ended well."""
        try:
            said, _ = script.communicate(timeout=50)
        finally:
            script.kill()
        self._stack.check()
        assert script.returncode == 0, said
        return said.splitlines()

    def run(self, command: str) -> list[str]:
        return self.end(self.begin(command))

    def serve(self, name: str, command: str) -> None:
        """Starts what runs until the tests' end."""
        words = [sys.executable, *shlex.split(command)]
        process = start(
            name, words, environ=self.environ, directory=self._stack.directory / "logs"
        )
        self._servers.callback(stop, [process])

    def serve_http(self, name: str, command: str) -> str:
        """The same for a server, told a free `{port}`; its address, once it answers."""
        port = _free_port()
        self.serve(name, command.format(port=port))
        address = f"http://127.0.0.1:{port}"
        until(lambda: _answers(address), seconds=40, what=f"answer of {name}")
        return address

    def rows(self, statement: str, **values: object) -> Sequence[Row[Any]]:
        """What a query finds."""
        with self._engine.connect() as connection:
            return connection.execute(text(statement), values).all()

    def change(self, statement: str, **values: object) -> None:
        """What somebody else does to the tables meanwhile."""
        with self._engine.begin() as connection:
            connection.execute(text(statement), values)

    def log(self, name: str) -> str:
        """All that a server has said so far."""
        return (self._stack.directory / "logs" / f"{name}.log").read_text("utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).status_code == 404  # neither shop has a front page
    except requests.ConnectionError:
        return False
