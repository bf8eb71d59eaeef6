"""One connection through a link: two sockets that hand what they hear to each other."""

from __future__ import annotations

import asyncio
import socket
import struct

from collections import deque
from typing import Protocol, cast

from typing_extensions import override


_RESET = struct.pack("ii", 1, 0)  # a close that does not linger is an RST
END = b""  # what a socket hears when the other side has closed


class Rules(Protocol):
    """What becomes of connections and of their bytes; see `chaos.proxy.fault`."""

    def opened(self, connection: Connection) -> None:
        """A client has come."""

    def heard(self, connection: Connection, side: Side, data: bytes) -> None:
        """`side` said `data`, or closed (END)."""


class Way(Protocol):
    """Where connections lead, and under which rules; see `chaos.proxy.link`."""

    target: tuple[str, int]
    connections: set[Connection]

    @property
    def fault(self) -> Rules:
        """The rules of now."""


class Side(asyncio.Protocol):
    """One of the two sockets. What is sent to it late keeps its order."""

    transport: asyncio.Transport | None = None

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._late: deque[tuple[float, bytes]] = deque()  # by the loop's time

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.connection.opened(self)

    @override
    def data_received(self, data: bytes) -> None:
        self.connection.heard(self, data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.lost(self, exc)

    @override
    def pause_writing(self) -> None:
        other = self.connection.other(self).transport
        if other is not None and not other.is_closing():
            other.pause_reading()

    @override
    def resume_writing(self) -> None:
        other = self.connection.other(self).transport
        if other is not None and not other.is_closing():
            other.resume_reading()

    def send(self, data: bytes, delay: float = 0) -> None:
        """Writes after `delay` seconds, and after all that was sent before; END closes it."""
        if self.transport is not None and not delay and not self._late:
            self._write(data)
            return
        at = asyncio.get_running_loop().time() + delay
        self._late.append((at, data))
        if self.transport is not None and len(self._late) == 1:
            asyncio.get_running_loop().call_at(at, self.send_late)

    def send_late(self) -> None:
        """Sends what is due, and sees to it that the rest will be."""
        loop = asyncio.get_running_loop()
        while self._late and self._late[0][0] <= loop.time():
            self._write(self._late.popleft()[1])
        if self._late:
            loop.call_at(self._late[0][0], self.send_late)

    def reset(self) -> None:
        """Closes it by an RST."""
        if self.transport is None:
            return
        peer: socket.socket = self.transport.get_extra_info("socket")
        if not self.transport.is_closing():
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _write(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if data == END:
            self.transport.close()
        else:
            self.transport.write(data)


class Connection:
    """A client and the server behind the link; the link's fault decides what passes."""

    def __init__(self, link: Way) -> None:
        self.link = link
        self.client = Side(self)
        self.server = Side(self)
        self.is_dark = False  # bytes were swallowed: whatever passed now would be garbage
        self._connecting: asyncio.Task[None] | None = None

    def other(self, side: Side) -> Side:
        """The other one."""
        return self.server if side is self.client else self.client

    def opened(self, side: Side) -> None:
        """A client came, or its server took it."""
        if side is self.client:
            self.link.connections.add(self)
            self.link.fault.opened(self)
        elif self in self.link.connections:
            self.server.send_late()  # what the client has said already
        else:  # it was reset while it was being connected
            side.reset()

    def connect(self) -> None:
        """Calls the server."""
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def heard(self, side: Side, data: bytes) -> None:
        """Bytes came from `side`."""
        if not self.is_dark:
            self.link.fault.heard(self, side, data)

    def lost(self, side: Side, error: Exception | None) -> None:
        """One side has closed, or broke: so does the other."""
        if not self.is_dark and error is None:
            self.link.fault.heard(self, side, END)
        elif not self.is_dark:
            self.other(side).reset()
        if self._is_over():
            self.link.connections.discard(self)

    def reset(self) -> None:
        """Both sides are told by an RST."""
        self.is_dark = True
        self.client.reset()
        self.server.reset()
        self.link.connections.discard(self)

    def _is_over(self) -> bool:
        transports = (self.client.transport, self.server.transport)
        return all(one is None or one.is_closing() for one in transports)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.server, *self.link.target)
        except OSError:
            self.reset()
