"""`python -m chaos.launch MODULE …`: runs a module of the product as `python -m` does, changed.

CHAOS_SABOTAGE names what is broken in it. A process whose clock can be shifted sleeps in another
way: libfaketime (0.9.10) lets `clock_nanosleep` fail on an absolute time of the monotonic clock.
"""

from __future__ import annotations

import os
import runpy
import select
import sys
import time


def main() -> None:
    """Changes what is to be changed, then becomes the module."""
    _, module, *arguments = sys.argv
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:
        vars(time)["sleep"] = _sleep  # what the product's libraries call
    if sabotage := os.environ.get("CHAOS_SABOTAGE"):
        from chaos.sabotage.switches import SWITCHES  # noqa: PLC0415  # imports the product

        SWITCHES[sabotage]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _sleep(seconds: float, /) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


if __name__ == "__main__":
    main()
