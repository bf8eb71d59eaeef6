"""`python -m demo`: a campaign through the whole service on this machine, and the books compared."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import uuid

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from rich.console import Console

from cascade import Cascade, Lane, MessageStatus, SendReport
from cascade.services.deployment import Ledger
from cascade.settings import ClientSettings, load
from cascade.storage.database import connect
from demo.campaign import TEMPLATES, TEXT, URGENT_TEXT, URGENT_TO, recipients
from demo.environment import ROOT
from demo.figures import read_figures
from demo.process import interruptible
from demo.progress import watch
from demo.report import failures, render, to_json
from demo.stack import WORKERS, Stack


# Of the sandbox's delays: an hour becomes the 15 s that VK and OK are given. TTLs stay real.
SCALE = 15 / 3600

URGENT_AFTER = 2.0  # seconds into the campaign
KILL_AFTER = 8.0  # seconds into the campaign
DOWN_SECONDS = {"beat": 30.0}  # 5 s for any other


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description=__doc__,
        epilog="example: python -m demo --messages 5000 --seed 7 --json report.json",
    )
    parser.add_argument("--messages", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="of recipients and drawn outcomes")
    parser.add_argument(
        "--kill", choices=[*WORKERS, "beat", "gateway"], help="SIGKILL it amid the campaign"
    )
    parser.add_argument("--keep", action="store_true", help="leave all running at the end")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there, too")
    parser.add_argument(
        "--broker", metavar="URL", help="redis:// or amqp://, of the demo's alone; else a Valkey"
    )
    return parser.parse_args()


def main() -> int:
    """Runs the demo; the exit status says whether the books agree."""
    given = arguments()
    console = Console() if sys.stdout.isatty() else Console(width=100)
    interruptible()
    parent = ROOT / ".cascade"
    parent.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="demo-", dir=parent))
    stack = Stack(directory, given.seed, SCALE, broker_url=given.broker)
    status = 1
    try:
        stack.start(lambda what: console.print(f"[dim]starting {what}[/]"))
        status = run(stack, given, console)
        if given.keep:
            keep(stack, console)
    except KeyboardInterrupt:
        console.print("\nstopped")
        status = 130
    finally:
        stack.stop()
        if status:
            console.print(f"[dim]logs and ledger: {directory}[/]")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return status


def run(stack: Stack, given: argparse.Namespace, console: Console) -> int:
    """The campaign, the report, and 0 if nothing is amiss."""
    os.environ.update(stack.environ)
    begun = time.monotonic()
    cascade = Cascade.from_env()
    with ThreadPoolExecutor(2) as threads:
        bulk = threads.submit(send, cascade, given)
        urgent = threads.submit(send_urgent, cascade)
        if given.kill:
            Thread(target=kill, args=(stack, given.kill, console), daemon=True).start()
        ledger = our_ledger()
        in_time = watch(
            ledger,
            total=given.messages,
            pending=stack.pending,
            console=console,
            check=lambda: check(stack, bulk, urgent),
        )
    seconds = time.monotonic() - begun
    figures = read_figures(ledger, stack.sandbox_ledger, pending=stack.pending(), seconds=seconds)
    console.print(render(figures))
    console.print(told_of_urgent(cascade.status(urgent.result())))
    if given.json:
        given.json.write_text(json.dumps(to_json(figures), ensure_ascii=False, indent=2) + "\n")
    amiss = failures(figures)
    if not in_time or figures.accepted != given.messages:
        amiss.append(f"{figures.accepted} of {given.messages} messages were accepted and watched")
    for line in amiss:
        console.print(f"[red]{line}[/]")
    return 1 if amiss else 0


def check(stack: Stack, *sending: Future[Any]) -> None:
    """Raises what has gone wrong meanwhile: a process that died, or the sending."""
    stack.check()
    for one in sending:
        if one.done():
            one.result()


def send(cascade: Cascade, given: argparse.Namespace) -> SendReport:
    """Enqueues the campaign in the bulk lane."""
    path = ROOT / "examples" / "recipients.csv"
    rows = recipients(path, count=given.messages - 1, seed=given.seed)
    return cascade.send_many(rows, text=TEXT, templates=TEMPLATES, priority=Lane.BULK)


def send_urgent(cascade: Cascade) -> uuid.UUID:
    """A one-time code amid the campaign, which must not wait behind it."""
    Event().wait(URGENT_AFTER)
    return cascade.send(
        to=URGENT_TO,
        text=URGENT_TEXT,
        variables={"code": "4815"},
        policy="code",
        priority=Lane.URGENT,
    )


def told_of_urgent(status: MessageStatus) -> str:
    """How long the urgent message waited, in words."""
    first = status.attempts[0]
    called = first.started_at or status.deadline
    waited = (called - status.created_at).total_seconds()
    return f"urgent: a one-time code amid the bulk was on its way {waited:.2f} s after acceptance"


def kill(stack: Stack, name: str, console: Console) -> None:
    """Kills one process and its children as a crash would, and starts it again later."""
    Event().wait(KILL_AFTER)
    stack.kill(name)
    console.print(f"[red]killed {name}[/]")
    Event().wait(DOWN_SECONDS.get(name, 5.0))
    stack.restart(name)
    console.print(f"[dim]started {name} again[/]")


def our_ledger() -> Ledger:
    """Cascade's own books, for reading."""
    settings = load(ClientSettings)
    return Ledger(
        engine=connect(settings.database_url.get_secret_value()),
        keyring=settings.keyring(),
        publish=lambda _hints: 0,
    )


def keep(stack: Stack, console: Console) -> None:
    """Leaves all running and says where, until Ctrl-C."""
    console.print(stack.addresses())
    console.print("[dim]Ctrl-C stops all of it[/]")
    with suppress(KeyboardInterrupt):
        Event().wait()


if __name__ == "__main__":
    sys.exit(main())
