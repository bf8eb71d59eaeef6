"""`python -m chaos`: attacks the whole service while it works, and counts what went wrong.

The exit status is 0 only if every count that must be zero is zero, and 9 in 10 faults landed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from chaos.report import render, verdict
from chaos.run import Figures, run
from chaos.sabotage.names import SABOTAGE, Sabotage
from chaos.schedule import FULL, QUICK, Fault, Kind, Size, draw
from chaos.stack import CHAOS_WORKERS, ChaosStack, can_shift_clocks
from demo.__main__ import SCALE
from demo.environment import ROOT
from demo.process import interruptible
from demo.rabbitmq import rabbitmq


WEATHER = ROOT / "chaos" / "weather.toml"
OWN_BROKER = {Kind.KILL_BROKER, Kind.STOP_BROKER, Kind.FLUSH_BROKER}  # of an embedded Valkey only


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description=__doc__,
        epilog="example: python -m chaos --full --seed 3 --json figures.json",
    )
    parser.add_argument("--full", action="store_true", help="10,000 messages and 200 faults")
    parser.add_argument("--seed", type=int, default=1, help="of the schedule and all outcomes")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    parser.add_argument(
        "--broker",
        metavar="URL",
        help="amqp://…, or `rabbitmq` for one of its own; else an embedded Valkey",
    )
    parser.add_argument("--sabotage", metavar="NAME", help="break the product; `list` has names")
    parser.add_argument("--keep", action="store_true", help="keep logs, ledger and database")
    return parser.parse_args()


def main() -> int:
    """Runs it; 0 if all is well."""
    given = arguments()
    if given.sabotage == "list":
        sys.stdout.write("".join(f"{name}\n" for name in SABOTAGE))
        return 0
    console = Console() if sys.stdout.isatty() else Console(width=110)
    interruptible()
    with ExitStack() as servers:
        if given.broker == "rabbitmq":
            home = servers.enter_context(tempfile.TemporaryDirectory())
            given.broker = servers.enter_context(rabbitmq(Path(home) / "rabbitmq")).url("chaos")
        return attack(given, console)


def attack(given: argparse.Namespace, console: Console) -> int:
    """One run, from the schedule to the table."""
    sabotage = None if given.sabotage is None else SABOTAGE[given.sabotage]
    size, faults = _plan(given, sabotage)
    console.print(f"seed {given.seed}: {size.messages} messages, {len(faults)} faults")
    for fault in faults:
        console.print(f"  {fault}", highlight=False)
    stack = _stack(given, size, sql=sabotage.sql if sabotage else "")
    try:
        figures = run(stack, faults, say=lambda line: console.print(line, highlight=False))
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    finally:
        stack.stop()
    amiss = verdict(figures)
    if given.keep or (amiss and not sabotage):
        console.print(f"logs, ledger and journals: {stack.directory}")
    else:
        shutil.rmtree(stack.directory, ignore_errors=True)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    _tell(console, figures, amiss, sabotage)
    return 1 if amiss else 0


def _plan(given: argparse.Namespace, sabotage: Sabotage | None) -> tuple[Size, Sequence[Fault]]:
    if sabotage is not None:
        return sabotage.size, sabotage.faults
    size = FULL if given.full else QUICK
    return size, draw(size, given.seed, without=_impossible(given))


def _tell(
    console: Console, figures: Figures, amiss: Sequence[str], sabotage: Sabotage | None
) -> None:
    for line in render(figures):
        console.print(line, highlight=False)
    for line in amiss:
        console.print(f"[red]{line}[/]")
    if sabotage is not None:
        found = figures[sabotage.count]
        console.print(f"to be found by {sabotage.count}: {found}")


def _impossible(given: argparse.Namespace) -> set[Kind]:
    """What cannot be broken here."""
    clocks = set() if can_shift_clocks() else {Kind.CLOCK}
    return clocks | (OWN_BROKER if given.broker else set())


def _stack(given: argparse.Namespace, size: Size, *, sql: str) -> ChaosStack:
    parent = ROOT / ".cascade"
    parent.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="chaos-", dir=parent))
    return ChaosStack(
        directory,
        given.seed,
        SCALE,
        broker_url=given.broker,
        workers=CHAOS_WORKERS,
        has_flower=False,
        size=size,
        weather=WEATHER,
        sabotage=given.sabotage,
        sql=sql,
    )


if __name__ == "__main__":
    sys.exit(main())
