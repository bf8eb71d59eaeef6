"""One link: a port that leads to one server, and the fault that is on it."""

from __future__ import annotations

import asyncio

from dataclasses import dataclass, field

from chaos.proxy.connection import Connection, Side
from chaos.proxy.fault import Fault


@dataclass(slots=True)
class Link:
    """`target`: host and port of the server."""

    target: tuple[str, int]
    fault: Fault = field(default_factory=Fault)
    connections: set[Connection] = field(default_factory=set)

    async def listen(self, port: int) -> int:
        """Serves on loopback from now on; the port, which may be 0 for a free one."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._client, "127.0.0.1", port, backlog=256)
        return int(server.sockets[0].getsockname()[1])

    def put(self, fault: Fault) -> int:
        """Ends the fault that is on and puts another one on; how much the ended one has hit."""
        ended, self.fault = self.fault, fault
        ended.end(self.connections)
        fault.begin(self.connections)
        return ended.hit

    def _client(self) -> Side:
        return Connection(self).client
