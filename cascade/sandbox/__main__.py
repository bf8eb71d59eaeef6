"""`python -m cascade.sandbox`: serves until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from pathlib import Path

from cascade.sandbox.app import Sandbox, read_config
from cascade.sandbox.clock import Tempo
from cascade.sandbox.ledger import Ledger
from cascade.sandbox.weather import FAIR_EVERYWHERE, read_forecast


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="cascade.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--config", type=Path, required=True, help="TOML, one table per account")
    parser.add_argument("--ledger", type=Path, required=True, help="JSON lines, appended to")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn outcomes")
    parser.add_argument("--scale", type=float, default=1.0, help="of people's delays")
    parser.add_argument("--weather", type=Path, help="TOML, shares of faults; none without it")
    return parser.parse_args()


async def serve(given: argparse.Namespace) -> None:
    """Says where it listens, then serves until it is told to stop."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    tempo = Tempo(scale=given.scale)
    config = read_config(given.config)
    forecast = read_forecast(given.weather) if given.weather else FAIR_EVERYWHERE
    sandbox = Sandbox(
        config, ledger=Ledger(given.ledger), seed=given.seed, tempo=tempo, forecast=forecast
    )
    port = await sandbox.start(given.port, given.host)
    sys.stdout.write(f"sandbox ready on http://{given.host}:{port}\n")
    sys.stdout.flush()
    await stopped.wait()
    await sandbox.stop()


if __name__ == "__main__":
    asyncio.run(serve(arguments()))
