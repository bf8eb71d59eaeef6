"""`python -m benchmarks [--part engine …] [--runs 3] [--json path]`: how fast it is.

Each figure is the median of runs that are taken in turn with runs of empty Celery tasks (R0), since
machines are shared and noisy. Results are kept under benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from benchmarks.machine import machine
from benchmarks.measure import Measured, measure
from benchmarks.parts import PARTS
from benchmarks.report import render
from demo.process import interruptible


RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """0 if no part is void and no figure below its floor."""
    arguments = _arguments()
    interruptible()
    console = Console(stderr=True)
    measured, failed = [], 0
    for place, name in enumerate(arguments.part or PARTS, 1):
        total = len(arguments.part or PARTS)
        part = PARTS[name]
        with console.status("") as status:

            def say(what: str, name: str = name, place: int = place, total: int = total) -> None:
                status.update(f"{name} ({place} of {total}): {what}")
                if not console.is_terminal:
                    console.print(f"{name} ({place} of {total}): {what}", highlight=False)

            try:
                measured.append(measure(part, runs=arguments.runs, say=say))
            except Exception as error:  # noqa: BLE001  # the other parts took long, and have figures
                failed += 1
                console.print(
                    f"[red]{name} is void[/]: {escape(f'{type(error).__name__}: {error}')}"
                )
    Console(width=None if sys.stdout.isatty() else 120).print(render(measured))
    _write(measured, arguments.json)
    return 0 if not failed and all(_is_tolerable(one) for one in measured) else 1


def _write(measured: list[Measured], path: Path | None) -> None:
    now = time.gmtime()
    told = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
        "machine": machine(),
        "parts": {one.part.name: one.as_json() for one in measured},
    }
    RESULTS.mkdir(exist_ok=True)
    kept = RESULTS / time.strftime("%Y%m%dT%H%M%SZ.json", now)
    for one in (kept, path):
        if one is not None:
            one.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _is_tolerable(one: Measured) -> bool:
    return all(goal.is_tolerable(one.figures[goal.figure]) for goal in one.part.goals)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m benchmarks --part engine --part http --json figures.json",
    )
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only these")
    parser.add_argument("--runs", type=int, default=3, help="of each part (3)")
    parser.add_argument("--json", type=Path, help="where the figures go besides")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
