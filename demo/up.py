"""`python -m demo.up`: the whole service on this machine, empty, until Ctrl-C."""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import sys

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from rich.console import Console

from demo.environment import ROOT
from demo.process import interruptible
from demo.stack import Stack


DIRECTORY = ROOT / ".cascade" / "up"

FIRST_STEPS = """
In another terminal:
  set -a; . .cascade/up/env; set +a; . .venv/bin/activate
  cascade send --to +79160044111 --text "Ваш заказ собран" --wait"""


class RunsAlreadyError(RuntimeError):
    """Another process serves this directory; the message names it."""


def main(arguments: Sequence[str] | None = None, *, directory: Path = DIRECTORY) -> int:
    """Starts the stack, writes its environment to `.cascade/up/env`, and waits."""
    argparse.ArgumentParser(
        prog="python -m demo.up",
        description="Starts the whole service, empty, with the sandbox as its providers.",
    ).parse_args(arguments)
    console = Console(soft_wrap=True, highlight=False)
    try:
        with only_one(directory):
            run(directory, console)
    except RunsAlreadyError as error:
        console.print(str(error))
        return 1
    return 0


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Holds `<directory>.lock` while the block runs: a second run would remove the first one's
    files from under its servers. The lock ends with its process, however that ends.

    Raises RunsAlreadyError.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunsAlreadyError(
                f"make up runs already (pid {lock.read()}); its environment is {_shown(directory)}/env"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def run(directory: Path, console: Console) -> None:
    """The stack, from its start to the first Ctrl-C."""
    interruptible()
    shutil.rmtree(directory, ignore_errors=True)
    stack = Stack(directory, seed=1, scale=1.0)
    try:
        stack.start(lambda what: console.print(f"[dim]starting {what}[/]"))
        write_environment(stack)
        console.print(stack.addresses())
        console.print(FIRST_STEPS)
        console.print("[dim]Ctrl-C stops all of it; the next start begins empty[/]")
        Event().wait()
    except KeyboardInterrupt:
        console.print("\nstopped")
    finally:
        stack.stop()


def write_environment(stack: Stack) -> None:
    """The stack's variables, for a shell; the file is its owner's alone."""
    path = stack.directory / "env"
    path.touch(mode=0o600)
    lines = [
        f"{name}={shlex.quote(value)}\n"
        for name, value in sorted(stack.environ.items())
        if name.startswith(("CASCADE_", "SHOP_"))
    ]
    path.write_text("".join(lines), "utf-8")


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    sys.exit(main())
