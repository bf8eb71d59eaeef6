"""Child processes that end when their owner says so, and no others."""

from __future__ import annotations

import subprocess

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from demo.environment import ROOT


STOP_SECONDS = 20.0  # for a warm stop; then the process is killed


class DiedError(RuntimeError):
    """A process ended that should run; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the stack, writing to a log of its own."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises DiedError if it does not run any more."""
        code = self.popen.poll()
        if code is not None:
            words = self.log.read_text(errors="replace")[-2000:]
            raise DiedError(f"{self.name} ended with {code}:\n{words}")


def start(
    name: str, command: Sequence[str], *, environ: Mapping[str, str], directory: Path
) -> Process:
    """Starts `command` in a session of its own, so that Ctrl-C reaches only its owner."""
    log = directory / f"{name}.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(  # noqa: S603  # our own commands
            command,
            env=dict(environ),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process(name, popen, log)


def stop(processes: Sequence[Process]) -> None:
    """Asks all of them to end, waits, and kills those that do not."""
    for process in processes:
        process.popen.terminate()
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.popen.wait(STOP_SECONDS)
    for process in processes:
        process.popen.kill()
        process.popen.wait()
