"""`python -m chaos.proxy`: serves its links until it is killed."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

import uvloop

from chaos.proxy.control import Control
from chaos.proxy.link import Link


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="chaos.proxy", description=__doc__)
    parser.add_argument("--control", type=int, default=0, help="port; 0 picks a free one")
    parser.add_argument(
        "--link",
        action="append",
        required=True,
        metavar="NAME=PORT=HOST:PORT",
        help="listens on a port (0 picks a free one) and leads to a server",
    )
    return parser.parse_args()


async def serve(given: argparse.Namespace) -> None:
    """Says on its first line which ports it has, as JSON, then serves."""
    links, ports = {}, {}
    for described in given.link:
        name, port, target = described.split("=")
        host, _, target_port = target.rpartition(":")
        links[name] = Link((host, int(target_port)))
        ports[name] = await links[name].listen(int(port))
    control = await Control(links).listen(given.control)
    sys.stdout.write(json.dumps({"control": control, "links": ports}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(arguments()))
