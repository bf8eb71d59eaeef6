"""The receipt gateway's HTTP: webhooks, the handshakes before them, and pages about its health."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from sqlalchemy import Connection, Engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from cascade.channels.base import Adapter
from cascade.gateway.addresses import PREFIX, Addresses, is_one
from cascade.gateway.group_commit import GroupCommit
from cascade.gateway.health import health_routes
from cascade.gateway.webhooks import Webhooks
from cascade.storage.database import transaction
from cascade.storage.inbox import NewReceipt, store
from cascade.storage.sealing import Keyring


class Gateway(Starlette):
    """Starlette's app, which webhooks pass by: its routing costs as much as their parsing."""

    def __init__(self, webhooks: Webhooks, engine: Engine) -> None:
        paths = (f"{PREFIX}{{account}}", f"{PREFIX}{{account}}/{{token}}")
        routes = health_routes(engine)
        routes += [Route(path, webhooks, methods=["POST"]) for path in paths]
        handshake = partial(_handshake, webhooks.addresses)
        routes += [Route(path, handshake, methods=["GET"]) for path in paths]
        super().__init__(routes=routes, lifespan=partial(_committing, webhooks.group_commit))
        self._webhooks = webhooks

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and is_one(scope["path"]):
            await self._webhooks(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def make_app(
    *,
    adapters: Mapping[str, Adapter],
    keyring: Keyring,
    engine: Engine,
    trusted_hops: int,
    answered: Callable[[str, int], None] = lambda _account, _status: None,
    committed: Callable[[], None] = lambda: None,
) -> Starlette:
    """The ASGI app; `trusted_hops` is the number of our own proxies before it.

    `answered` hears of each webhook: the account that its path names, and the status it got.
    `committed` is called, in any thread, when new receipts are in the inbox; it must not block.
    """

    def commit(group: Sequence[NewReceipt]) -> None:
        def work(connection: Connection) -> int:
            return store(connection, group)

        if transaction(engine, work):
            committed()

    webhooks = Webhooks(
        addresses=Addresses(adapters, trusted_hops=trusted_hops),
        keyring=keyring,
        group_commit=GroupCommit(commit),
        answered=answered,
    )
    return Gateway(webhooks, engine)


@asynccontextmanager
async def _committing(group_commit: GroupCommit, _app: Starlette) -> AsyncIterator[None]:
    committing = asyncio.create_task(group_commit.run())
    yield
    committing.cancel()
    with suppress(asyncio.CancelledError):
        await committing


async def _handshake(addresses: Addresses, request: Request) -> Response:
    address = addresses.of(request.scope)
    query = dict(request.query_params)
    answer = address.adapter.handshake(query) if address is not None else None
    if answer is None:
        return Response(status_code=404)
    return PlainTextResponse(answer)
