"""Requests to an ASGI app as a server would make them, from any address."""

from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.applications import Starlette


T = TypeVar("T")
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class Client:
    """Speaks to a running app."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def post(
        self,
        path: str,
        body: bytes | Iterable[bytes],
        *,
        headers: Headers = (),
        peer: str | None = "127.0.0.1",
    ) -> Answer:
        parts = [body] if isinstance(body, bytes) else body
        return await self._ask("POST", path, parts, headers, peer)

    async def get(self, path: str, query: str = "") -> Answer:
        return await self._ask("GET", path, [], (), "127.0.0.1", query)

    async def _ask(  # the parts of a request
        self,
        method: str,
        path: str,
        parts: Iterable[bytes],
        headers: Headers,
        peer: str | None,
        query: str = "",
    ) -> Answer:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
            "client": None if peer is None else (peer, 50000),
            "server": ("127.0.0.1", 8080),
        }
        coming = iter(parts)
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, object]:
            part = next(coming, None)
            return {"type": "http.request", "body": part or b"", "more_body": part is not None}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], body)


def talk(app: Starlette, work: Callable[[Client], Awaitable[T]]) -> T:
    """Runs `work` while the app is up."""

    async def run() -> T:
        async with app.router.lifespan_context(app):
            return await work(Client(app))

    return asyncio.run(run())
