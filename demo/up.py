"""`python -m demo.up`: the whole service on this machine, empty, until Ctrl-C."""

from __future__ import annotations

import shlex
import shutil
import sys

from threading import Event

from rich.console import Console

from demo.environment import ROOT
from demo.process import interruptible
from demo.stack import Stack


def main() -> int:
    """Starts the stack, writes its environment to `.cascade/up/env`, and waits."""
    console = Console()
    interruptible()
    directory = ROOT / ".cascade" / "up"
    shutil.rmtree(directory, ignore_errors=True)
    stack = Stack(directory, seed=1, scale=1.0)
    try:
        stack.start(lambda what: console.print(f"[dim]starting {what}[/]"))
        write_environment(stack)
        console.print(stack.addresses())
        console.print("\nIn another terminal, to send from Python:")
        console.print("  set -a; . .cascade/up/env; set +a; .venv/bin/python")
        console.print("[dim]Ctrl-C stops all of it[/]")
        Event().wait()
    except KeyboardInterrupt:
        console.print("\nstopped")
    finally:
        stack.stop()
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
