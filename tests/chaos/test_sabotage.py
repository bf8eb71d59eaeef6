from __future__ import annotations

import subprocess
import sys

from chaos.sabotage.names import SABOTAGE


# Each in a process of its own, since it cannot be undone.
APPLY = """
import os, sys
import workers.tasks
from chaos.sabotage.switches import SWITCHES
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        SWITCHES[name]()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{name} does not apply")
"""


def test_every_sabotage_still_finds_what_it_breaks() -> None:
    applied = subprocess.run(
        [sys.executable, "-c", APPLY, *SABOTAGE], capture_output=True, text=True, check=False
    )

    assert (applied.returncode, applied.stderr) == (0, "")
