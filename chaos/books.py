"""Reconciling at the end of a run: with the providers' own ledger, by the product's command."""

from __future__ import annotations

import json
import subprocess
import sys

from typing import Any

from chaos.stack import ChaosStack
from demo.environment import ROOT


def reconcile(stack: ChaosStack, *, repair: bool) -> dict[str, Any]:
    """What `cascade reconcile` prints. Raises ValueError if it prints no JSON."""
    command = [sys.executable, "-c", "from cascade.cli.main import main; main()", "reconcile"]
    command += [str(stack.sandbox_ledger), "--json", *(["--repair"] if repair else [])]
    done = subprocess.run(  # noqa: S603  # our own
        command, cwd=ROOT, env=stack.environ, capture_output=True, text=True, check=False
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise ValueError(f"cascade reconcile has failed:\n{done.stderr[-2000:]}") from None
    return answer
