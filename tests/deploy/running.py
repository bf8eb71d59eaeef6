"""The services of docker-compose.yml as processes on loopback, from the files of the image."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.compose import Service


@dataclass(frozen=True, slots=True)
class Running:
    """A started service and what it says."""

    service: Service
    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where services run: the image's files, and another address for each of Compose's."""

    root: Path  # the image's working directory
    ports: Mapping[str, str]  # by those of the containers
    started: dict[str, Running] = field(default_factory=dict)

    def start(self, service: Service) -> Running:
        """Starts what its command says."""
        log = self.root / f"{service.name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(service.command),
                cwd=self.root,
                env=self.environ(service),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # as alone as in a container
            )
        self.started[service.name] = running = Running(service, process, log)
        return running

    def run(self, service: Service, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """What `docker compose exec` would do."""
        return subprocess.run(
            self.command(command),
            cwd=self.root,
            env=self.environ(service),
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )

    def stop(self) -> dict[str, int]:
        """Stops all at once, as Compose does; exit codes, -9 of those that had to be killed."""
        running = list(self.started.values())
        for one in running:
            one.process.send_signal(signal.SIGTERM)
        since = time.monotonic()
        for one in running:
            with suppress(subprocess.TimeoutExpired):
                one.process.wait(max(0, one.service.grace - (time.monotonic() - since)))
            one.process.kill()
            one.process.wait()
        self.started.clear()
        return {one.service.name: one.process.returncode for one in running}

    def command(self, said: Sequence[str]) -> list[str]:
        """A container's command with this machine's addresses."""
        return [self._here(word) for word in said]

    def environ(self, service: Service) -> dict[str, str]:
        """A container's environment, with the image's own, and this checkout's dependencies."""
        ours = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
        ours |= {"PYTHONPATH": str(self.root), "CASCADE_CONFIG_DIR": str(self.root / "config")}
        return ours | dict(service.environment)

    def _here(self, word: str) -> str:
        for theirs, port in self.ports.items():
            word = port if word == theirs else word.replace(f":{theirs}/", f":{port}/")
        return "127.0.0.1" if word == "0.0.0.0" else self._path(word)  # noqa: S104  # theirs

    def _path(self, word: str) -> str:
        return str(self.root / Path(word).name) if word.startswith(("/etc/", "/var/")) else word
