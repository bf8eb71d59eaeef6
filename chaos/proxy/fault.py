"""What a link does to its connections: nothing, or one of the faults."""

from __future__ import annotations

import random

from typing_extensions import override

from chaos.proxy.connection import END, Connection, Side


# psycopg2 commits by a simple query of this one word, and nothing else ends so.
_COMMIT = b"COMMIT\0"


class Fault:
    """Everything passes. Subclasses break one thing; `hit` counts what they have broken."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()

    @property
    def hit(self) -> int:
        """Connections, if the fault does not count something else."""
        return len(self._connections)

    def begin(self, connections: set[Connection]) -> None:
        """It comes over these connections."""

    def end(self, connections: set[Connection]) -> None:
        """It is over; these are the link's connections now."""

    def opened(self, connection: Connection) -> None:
        """A client has come."""
        connection.connect()

    def heard(self, connection: Connection, side: Side, data: bytes) -> None:
        """`side` said `data`, or closed (END)."""
        connection.other(side).send(data)

    def count(self, connection: Connection) -> None:
        """It was hit."""
        self._connections.add(connection)


class Latency(Fault):
    """All passes late, in both directions: by `ms` plus or minus `jitter` milliseconds."""

    def __init__(self, *, ms: float, jitter: float = 0, seed: int = 0) -> None:
        super().__init__()
        self._ms = ms
        self._jitter = jitter
        self._random = random.Random(seed)  # noqa: S311  # repeatable, not secret

    @override
    def heard(self, connection: Connection, side: Side, data: bytes) -> None:
        self.count(connection)
        ms = self._ms + self._random.uniform(-self._jitter, self._jitter)
        connection.other(side).send(data, max(ms, 0) / 1000)


class Blackhole(Fault):
    """Nothing passes and nobody is told, as behind a cable that was pulled.

    New clients are taken and hang. When it is over, all that it has touched is reset, as the far
    side does with a connection that it has forgotten.
    """

    @override
    def opened(self, connection: Connection) -> None:
        self._swallow(connection)

    @override
    def heard(self, connection: Connection, side: Side, data: bytes) -> None:
        self._swallow(connection)

    @override
    def end(self, connections: set[Connection]) -> None:
        for connection in connections & self._connections:
            connection.reset()

    def _swallow(self, connection: Connection) -> None:
        self.count(connection)
        connection.is_dark = True


class Reset(Fault):
    """RST on all connections and, while it lasts, on every new one."""

    @override
    def begin(self, connections: set[Connection]) -> None:
        for connection in list(connections):
            self.opened(connection)

    @override
    def opened(self, connection: Connection) -> None:
        self.count(connection)
        connection.reset()


class CutAfterCommit(Fault):
    """The next `times` commits reach the server; the client is reset before it hears the answer.

    `hit` counts commits.
    """

    def __init__(self, *, times: int = 1) -> None:
        super().__init__()
        self._times = times
        self._cut = 0

    @property
    @override
    def hit(self) -> int:
        return self._cut

    @override
    def heard(self, connection: Connection, side: Side, data: bytes) -> None:
        super().heard(connection, side, data)
        if self._cut < self._times and side is connection.client and _COMMIT in data:
            self._cut += 1
            connection.server.send(END)  # a plain close: the commit before it is read
            connection.client.reset()
