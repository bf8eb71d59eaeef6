"""The gateway's own server, in a thread, on a socket of its own."""

from __future__ import annotations

import socket
import threading
import time

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from starlette.applications import Starlette

from cascade.gateway.server import ImpatientProtocol, server


class HurriedProtocol(ImpatientProtocol):
    patience = 0.3


@contextmanager
def serving(
    app: Starlette, protocol: type[ImpatientProtocol] = ImpatientProtocol
) -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    running = server(app, protocol=protocol)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()
    running.should_exit = True
    thread.join()
    listener.close()


class Slow:
    """A client that speaks as it likes."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self._opened = time.monotonic()

    def say(self, words: bytes) -> None:
        self.socket.sendall(words)

    def trickle(self, words: bytes, pause: float = 0.02) -> None:
        """A byte at a time, until the server has had enough; raises OSError then."""
        waiting = threading.Event()
        for at in range(len(words)):
            self.say(words[at : at + 1])
            waiting.wait(pause)

    def pour(self, chunks: Iterable[bytes]) -> None:
        """All of them, as fast as they are taken; raises OSError once the server has had enough."""
        for chunk in chunks:
            self.say(chunk)

    def rest(self) -> bytes:
        """All that the server says until it closes."""
        heard = b""
        try:
            while more := self.socket.recv(65536):
                heard += more
        except ConnectionResetError:
            pass
        return heard

    @property
    def age(self) -> float:
        return time.monotonic() - self._opened

    def close(self) -> None:
        self.socket.close()
