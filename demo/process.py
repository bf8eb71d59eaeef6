"""Child processes that end when their owner says so, and no others."""

from __future__ import annotations

import signal
import subprocess

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import current_thread, main_thread

from demo.environment import ROOT


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
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
    """Starts `command` in a process group of its own, so that Ctrl-C reaches only its owner."""
    log = directory / f"{name}.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(  # noqa: S603  # our own commands
            command,
            env=dict(environ),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,  # not a session: within one, Linux heeds niceness
        )
    return Process(name, popen, log)


def interruptible() -> None:
    """Every way to end this process raises KeyboardInterrupt, so that it can stop its children.

    Also where a shell has SIGINT ignored, and when the terminal is closed. Only the first one does:
    the stopping that follows is not to be cut short.
    """
    for ending in ENDINGS:
        signal.signal(ending, _interrupt)


def _interrupt(_number: int, _frame: object) -> None:
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[list[int]]:
    """Holds Ctrl-C and SIGTERM back while the block runs; gives the list of those that came.

    Only the main thread is ever interrupted: in another one this does nothing.
    """
    came: list[int] = []
    if current_thread() is not main_thread():
        yield came
        return
    handlers = {
        number: signal.signal(number, lambda number, _: came.append(number)) for number in ENDINGS
    }
    try:
        yield came
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


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
