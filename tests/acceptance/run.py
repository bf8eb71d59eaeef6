"""A demo as a process of its own, the way a person starts it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.environment import ROOT


@dataclass(frozen=True, slots=True)
class Run:
    """`python -m demo`, and the file that takes what it says."""

    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> str:
        return self.output.read_text("utf-8")


@contextmanager
def demo_run(
    directory: Path, *arguments: str, variables: Mapping[str, str] | None = None
) -> Iterator[Run]:
    """A demo in a process group of its own, as a terminal would have it, on embedded servers."""
    output = directory / "said"
    # The demo is to start servers of its own, whatever these tests run on.
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("CASCADE_")}
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "demo", *arguments],
            cwd=ROOT,
            env=inherited | dict(variables or {}),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    run = Run(process, output)
    try:
        yield run
    finally:
        process.terminate()
        process.wait(60)
        kept = re.search(r"logs and ledger: (\S+)", run.said())
        if kept:
            shutil.rmtree(kept[1])
