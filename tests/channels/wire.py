"""A provider on a real socket that behaves as badly as a test asks."""

from __future__ import annotations

import socket
import threading

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Behaviour = Callable[["Connection"], None]


class Connection:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, closing: threading.Event) -> None:
        self.sock = sock
        self.closing = closing

    def read_request(self) -> bytes:
        """One whole request; b"" if the client left."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := self.sock.recv(65536)):
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        while len(body) < _length(head):
            body += self.sock.recv(65536)
        return head + b"\r\n\r\n" + body

    def trickle(self, data: bytes) -> None:
        """One byte every hundredth of a second, until the client has had enough."""
        for at in range(len(data)):
            if self.closing.wait(0.01):
                return
            self.sock.sendall(data[at : at + 1])

    def hang(self) -> None:
        """Says nothing until the client leaves."""
        while self.sock.recv(65536):
            pass


class Provider:
    """Where it listens, what it was sent, and how many connections it saw."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[bytes] = []
        self.connections = 0


@contextmanager
def provider(behaviour: Behaviour) -> Iterator[Provider]:
    listener = socket.create_server(("127.0.0.1", 0))
    found = Provider(f"http://127.0.0.1:{listener.getsockname()[1]}/send")
    closing = threading.Event()
    threads: list[threading.Thread] = []
    socks: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                found.connections += 1
                socks.append(sock)
                threads.append(threading.Thread(target=serve, args=(sock,)))
                threads[-1].start()

    def serve(sock: socket.socket) -> None:
        sock.settimeout(10)
        with sock, suppress(OSError):
            behaviour(Connection(sock, closing))

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield found
    finally:
        closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for sock in socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def refused_url() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/send"


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
