"""The receipt gateway's HTTP: verify, store, answer.

A provider hears 2xx only once its receipts are committed; whatever else it hears, it repeats.
"""

from __future__ import annotations

import asyncio
import logging

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cascade.channels.account import is_believed
from cascade.channels.base import (
    Adapter,
    ForgedWebhookError,
    Receipt,
    UnreadableWebhookError,
    Webhook,
)
from cascade.gateway.caller import caller_address
from cascade.gateway.group_commit import GroupCommit
from cascade.gateway.health import health_routes
from cascade.gateway.token import is_addressed
from cascade.services.inbox import new_receipts
from cascade.storage.database import transaction
from cascade.storage.inbox import store
from cascade.storage.sealing import Keyring


log = logging.getLogger(__name__)

BODY_LIMIT = 256 * 1024  # bytes, counted before anything is parsed

# What providers send; some may not say what it is.
MEDIA_TYPES = frozenset({"application/json", "application/x-www-form-urlencoded", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What a webhook is held against, and where its receipts go."""

    adapters: Mapping[str, Adapter]
    keyring: Keyring
    group_commit: GroupCommit
    trusted_hops: int


def make_app(
    *,
    adapters: Mapping[str, Adapter],
    keyring: Keyring,
    engine: Engine,
    trusted_hops: int,
    answered: Callable[[str, int], None] = lambda _account, _status: None,
) -> Starlette:
    """The ASGI app; `trusted_hops` is the number of our own proxies before it.

    `answered` hears of each webhook: the account that its path names, and the status it got.
    """
    group_commit = GroupCommit(
        lambda group: transaction(engine, lambda connection: store(connection, group))
    )
    gateway = Gateway(
        adapters=adapters,
        keyring=keyring,
        group_commit=group_commit,
        trusted_hops=trusted_hops,
    )

    async def receive(request: Request) -> Response:
        response = await _receive(gateway, request)
        answered(request.path_params["account"], response.status_code)
        return response

    async def handshake(request: Request) -> Response:
        return _handshake(gateway, request)

    paths = ("/receipts/{account}", "/receipts/{account}/{token}")
    routes = health_routes(engine)
    routes += [Route(path, receive, methods=["POST"]) for path in paths]
    routes += [Route(path, handshake, methods=["GET"]) for path in paths]

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        committing = asyncio.create_task(group_commit.run())
        yield
        committing.cancel()
        with suppress(asyncio.CancelledError):
            await committing

    return Starlette(routes=routes, lifespan=lifespan)


async def _receive(gateway: Gateway, request: Request) -> Response:
    adapter = _adapter(gateway, request)
    if adapter is None:
        return Response(status_code=404)
    if _media_type(request) not in MEDIA_TYPES:
        return Response(status_code=415)
    body = await _body(request)
    if isinstance(body, Response):
        return body
    receipts = _receipts(adapter, _webhook(request, body))
    if isinstance(receipts, Response):
        return receipts
    if receipts and not await _committed(gateway, adapter, receipts, body):
        return Response(status_code=503)
    ack = adapter.ack()
    return Response(ack.body, status_code=ack.status)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _webhook(request: Request, body: bytes) -> Webhook:
    # Repeated headers are joined, so that a second signature is no signature.
    headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
    return Webhook(headers=headers, query=dict(request.query_params), body=body)


def _receipts(adapter: Adapter, webhook: Webhook) -> Sequence[Receipt] | Response:
    """What `webhook` says, or the answer to who sent it if it cannot be believed or read."""
    account = {"account": adapter.account}
    try:
        adapter.verify(webhook)
        return adapter.parse(webhook)
    except ForgedWebhookError:
        log.warning("a webhook was forged", extra=account)
        return Response(status_code=403)
    except UnreadableWebhookError:
        log.warning("a webhook cannot be read", extra=account)
        return Response(status_code=400)
    except Exception as error:  # noqa: BLE001  # its text may hold the body
        log.error("a webhook cannot be parsed: %s", type(error).__name__, extra=account)  # noqa: TRY400  # nor a traceback
        return Response(status_code=503)


async def _committed(
    gateway: Gateway, adapter: Adapter, receipts: Sequence[Receipt], body: bytes
) -> bool:
    try:
        await gateway.group_commit.commit(
            new_receipts(
                gateway.keyring,
                adapter.account,
                receipts,
                body,
                is_believed=is_believed(adapter),
            )
        )
    except Exception as error:  # noqa: BLE001  # whatever it was: not committed, so not 2xx
        log.warning(
            "receipts were not committed: %s",
            type(error).__name__,
            extra={"account": adapter.account},
        )
        return False
    return True


def _handshake(gateway: Gateway, request: Request) -> Response:
    adapter = _adapter(gateway, request)
    answer = adapter.handshake(dict(request.query_params)) if adapter is not None else None
    if answer is None:
        return Response(status_code=404)
    return PlainTextResponse(answer)


def _adapter(gateway: Gateway, request: Request) -> Adapter | None:
    """The account that the path names, if its secret token and the caller's address fit."""
    adapter = gateway.adapters.get(request.path_params["account"])
    if adapter is None:
        return None
    if not is_addressed(adapter.token_digests, request.path_params.get("token")):
        log.warning("a webhook has a wrong token", extra={"account": adapter.account})
        return None
    peer = request.client.host if request.client else None
    forwarded = request.headers.getlist("x-forwarded-for")
    caller = caller_address(peer, forwarded, gateway.trusted_hops)
    if adapter.allowed_ips and caller not in adapter.allowed_ips:
        log.warning("a webhook comes from a strange address", extra={"account": adapter.account})
        return None
    return adapter


async def _body(request: Request) -> bytes | Response:
    """The raw body, or the answer if it is over the limit or does not come to its end."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > BODY_LIMIT:
                return Response(status_code=413)
    except ClientDisconnect:
        return Response(status_code=408)  # for the metrics: nobody hears it
    return bytes(body)
