"""How far it is: a line that changes on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys


STEP = 100  # mutants a line in a log


def show(what: str, done: int, total: int) -> None:
    """So many are done."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{what}: {done} of {total}{end}")
    elif done % STEP == 0 or done == total:
        sys.stderr.write(f"{what}: {done} of {total}\n")
    sys.stderr.flush()
