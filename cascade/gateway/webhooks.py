"""A provider's webhook: verified, stored, answered, as a bare ASGI application.

A provider hears 2xx only once its receipts are committed; whatever else it hears, it repeats. There
are thousands of them a second: Starlette's routing, requests and responses would double their cost.
"""

from __future__ import annotations

import logging

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from cascade.channels.base import (
    Ack,
    ForgedWebhookError,
    Receipt,
    UnreadableWebhookError,
    Webhook,
)
from cascade.gateway.addresses import Address, Addresses
from cascade.gateway.group_commit import GroupCommit
from cascade.services.inbox import new_receipts
from cascade.storage.sealing import Keyring


log = logging.getLogger(__name__)

BODY_LIMIT = 256 * 1024  # bytes, counted before anything is parsed

# What providers send; some may not say what it is.
MEDIA_TYPES = frozenset({"application/json", "application/x-www-form-urlencoded", ""})


class RefusedError(Exception):
    """The webhook is answered with `status` and without a body; nothing of it is stored."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """What a webhook is held against, and where its receipts go.

    `answered` hears of each one: the account that its path names, and the status it got.
    """

    addresses: Addresses
    keyring: Keyring
    group_commit: GroupCommit
    answered: Callable[[str, int], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one POST; its path names an account, and may name a token."""
        try:
            ack = await self._taken(scope, receive)
        except RefusedError as refused:
            ack = Ack(refused.status)
        self.answered(self.addresses.account_of(scope), ack.status)
        length = (b"content-length", b"%d" % len(ack.body))
        await send({"type": "http.response.start", "status": ack.status, "headers": [length]})
        await send({"type": "http.response.body", "body": ack.body})

    async def _taken(self, scope: Scope, receive: Receive) -> Ack:
        address = self.addresses.of(scope)
        if address is None:
            raise RefusedError(HTTPStatus.NOT_FOUND)
        if _media_type(scope) not in MEDIA_TYPES:
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        body = await _body(receive)
        receipts = _receipts(address, _webhook(scope, body))
        if receipts:
            await self._commit(address, receipts, body)
        return address.adapter.ack()

    async def _commit(self, address: Address, receipts: Sequence[Receipt], body: bytes) -> None:
        account = address.adapter.account
        try:
            await self.group_commit.commit(
                new_receipts(
                    self.keyring, account, receipts, body, is_believed=address.is_believed
                )
            )
        except Exception as error:  # noqa: BLE001  # whatever it was: not committed, so not 2xx
            log.warning(
                "receipts were not committed: %s", type(error).__name__, extra={"account": account}
            )
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE) from None


def _media_type(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    return str(given.decode("latin-1").partition(";")[0].strip().lower())


async def _body(receive: Receive) -> bytes:
    """The raw body; refused if it is over the limit or does not come to its end."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":  # for the metrics: nobody hears it
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT)
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_LIMIT:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return bytes(body)


def _webhook(scope: Scope, body: bytes) -> Webhook:
    # Repeated headers are joined, so that a second signature is no signature.
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query = scope["query_string"]
    return Webhook(headers=headers, query=dict(QueryParams(query)) if query else {}, body=body)


def _receipts(address: Address, webhook: Webhook) -> Sequence[Receipt]:
    """What `webhook` says; refused if it cannot be believed or read."""
    adapter = address.adapter
    account = {"account": adapter.account}
    try:
        adapter.verify(webhook)
        return adapter.parse(webhook)
    except ForgedWebhookError:
        log.warning("a webhook was forged", extra=account)
        raise RefusedError(HTTPStatus.FORBIDDEN) from None
    except UnreadableWebhookError:
        log.warning("a webhook cannot be read", extra=account)
        raise RefusedError(HTTPStatus.BAD_REQUEST) from None
    except Exception as error:  # noqa: BLE001  # its text may hold the body
        log.error("a webhook cannot be parsed: %s", type(error).__name__, extra=account)  # noqa: TRY400  # nor a traceback
        raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE) from None
