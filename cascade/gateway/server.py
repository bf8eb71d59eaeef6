"""The gateway's HTTP server: uvicorn, with patience for slow and endless requests."""

from __future__ import annotations

import asyncio
import math

import uvicorn

from starlette.applications import Starlette
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


HEAD_LIMIT = 32 * 1024  # bytes before a request's body


class ImpatientProtocol(HttpToolsProtocol):
    """Cuts off a client whose request's head or body takes longer than `patience` seconds each,
    or whose head goes on beyond `HEAD_LIMIT`. Headers after a body are not read.

    One timer a connection looks whether the deadline is over: one a request would cost as much as
    reading it.
    """

    patience = 10.0

    _deadline = math.inf  # in the loop's time
    _timer: asyncio.TimerHandle | None = None
    _is_in_head = True
    _head_size = 0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._wait()
        self._look()

    @override
    def data_received(self, data: bytes) -> None:
        if self._deadline == math.inf:
            self._wait()
        if self._is_in_head:
            self._head_size += len(data)
        super().data_received(data)  # sets it to 0 where the head comes to its end
        if self._head_size > HEAD_LIMIT:
            self._cut()

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer would pass for a header: as an X-Forwarded-For, for a proxy's own.
        if self._is_in_head:
            super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_size = 0
        self._wait()
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        self._is_in_head = True
        self._deadline = math.inf
        super().on_message_complete()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.time() + self.patience

    def _look(self) -> None:
        left = self._deadline - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(min(left, self.patience), self._look)
        else:
            self._cut()

    def _cut(self) -> None:
        self.transport.abort()


def server(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    protocol: type[ImpatientProtocol] = ImpatientProtocol,
) -> uvicorn.Server:
    """A server of `app` that is ready to run."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=protocol,
            ws="none",
            proxy_headers=False,  # X-Forwarded-For is believed by `caller_address` only
            server_header=False,
            access_log=False,  # it would write the secret path tokens
            log_config=None,
            log_level="warning",
        )
    )
