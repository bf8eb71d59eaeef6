"""`python -m benchmarks.provider`: a lean provider that speaks Notify's and Devino's wire.

It answers at once, or after a time; it checks no signature and keeps no books. Each message that
it takes is delivered at once, which it tells by a webhook. Whoever's number ends in 0 … 3 is no
user of a first channel. `GET /health` answers, `GET /pending` tells webhooks to come, `GET /calls`
the moments (of the monotonic clock) at which calls came in since it was asked last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import time

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop

from typing_extensions import override


CONNECTIONS = 32  # to the gateway
STATUSES_AT_ONCE = 100  # in a webhook of Devino's

_FORM = re.compile(rb"(?:^|&)(phone|message_id)=([^&]*)")
_NOT_A_USER = b"0123"


@dataclass(slots=True)
class Provider:
    """The calls it took, and the webhooks that go out."""

    gateway: str
    first: frozenset[str]  # accounts whose unknown users are sent on
    latency: float = 0.0
    jitter: float = 0.0
    calls: list[float] = field(default_factory=list)
    webhooks: deque[bytes] = field(default_factory=deque)
    underway: int = 0
    last_id: int = field(default_factory=time.time_ns)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    watched: bytes = b""
    seen: float | None = None

    def answer(self, path: str, body: bytes) -> bytes:
        """The answer's JSON; webhooks are on their way after it."""
        _, first, *rest = path.split("/")
        if not rest:
            return json.dumps(self._asked(first)).encode()
        [method] = rest
        if first == "storm":
            self._storm(int(method))
        elif first == "watch":
            self.watched, self.seen = method.encode(), None
        else:
            self.calls.append(time.monotonic())
            return self._notify(first, body) if method == "notify" else self._devino(first, body)
        return b"{}"

    def _asked(self, question: str) -> object:
        if question == "pending":
            return {"pending": len(self.webhooks) + self.underway}
        if question == "seen":
            return self.seen
        if question == "calls":
            calls, self.calls = self.calls, []
            return calls
        return {}  # it is healthy

    def pause(self) -> float:
        """Seconds until the answer."""
        if not self.latency:
            return 0.0
        return self.latency + self.jitter * (2 * random.random() - 1)  # noqa: S311  # no secret

    def _notify(self, account: str, body: bytes) -> bytes:
        form = dict(_FORM.findall(body))
        if form[b"phone"] == self.watched:
            self.seen = time.monotonic()
        if account in self.first and form[b"phone"][-1] in _NOT_A_USER:
            return b'{"status": "error", "code": "UNSUPPORTED"}'
        ref = form[b"message_id"]
        at = time.time()
        told = b'{"message_id": "%b", "status": "delivered", "status_at": %.3f}' % (ref, at)
        self._tell(account, told)
        return b'{"status": "ok", "message_id": "%b"}' % ref

    def _devino(self, account: str, body: bytes) -> bytes:
        codes: list[dict[str, object]] = []
        told: list[dict[str, object]] = []
        for message in json.loads(body)["messages"]:
            if account in self.first and message["address"][-1].encode() in _NOT_A_USER:
                codes.append({"code": "not-viber-user"})
                continue
            self.last_id += 1
            codes.append({"code": "ok", "providerId": self.last_id})
            told.append({"providerId": self.last_id, "status": "delivered", "receivedAt": 0})
        if told:
            self._tell(account, json.dumps(told).encode())
        return json.dumps({"status": "ok", "messages": codes}).encode()

    def _storm(self, count: int) -> None:
        for _ in range(count):
            self.last_id += 1
            told = '{"message_id": "%032x", "status": "delivered", "status_at": %.3f}'
            self._tell("notify-vk", (told % (self.last_id, time.time())).encode())

    def _tell(self, account: str, body: bytes) -> None:
        token = os.environ[f"CASCADE_{account.upper().replace('-', '_')}_WEBHOOK_TOKEN"]
        head = (
            f"POST /receipts/{account}/{token} HTTP/1.1\r\nHost: gateway\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.webhooks.append(head.encode() + body)
        self.arrived.set()


class Server(asyncio.Protocol):
    """One connection of a caller, kept alive."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._parser = httptools.HttpRequestParser(self)
        self._body = bytearray()
        self._url = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    @override
    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The parser's."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """The parser's."""
        self._body += body

    def on_message_complete(self) -> None:
        """The parser's: a whole call is here."""
        path, body = self._url.decode(), bytes(self._body)
        self._url, self._body = b"", bytearray()
        pause = 0.0 if path.count("/") == 1 else self._provider.pause()
        if pause:
            asyncio.get_running_loop().call_later(pause, self._answer, path, body)
        else:
            self._answer(path, body)

    def _answer(self, path: str, body: bytes) -> None:
        answer = self._provider.answer(path, body)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer)
        )


class Webhooks(asyncio.Protocol):
    """One connection to the gateway: the next webhook follows the answer to the last."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[int] | None = None
        self.is_open = True  # the gateway closes what was idle for some seconds

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    @override
    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError())

    def on_message_complete(self) -> None:
        """The parser's: the gateway has answered."""
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        if self._answered is not None:
            self._answered.set_result(status)

    async def post(self, webhook: bytes) -> int:
        """The gateway's status; raises OSError if the connection is lost."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(webhook)
        return await self._answered


async def _tell(provider: Provider) -> None:
    """Posts webhooks one after another, each until the gateway takes it."""
    connection: Webhooks | None = None
    while True:
        while not provider.webhooks:
            provider.arrived.clear()
            await provider.arrived.wait()
        webhook = provider.webhooks.popleft()
        provider.underway += 1
        try:
            if connection is None or not connection.is_open:
                connection = await _connected(provider.gateway)
            if await connection.post(webhook) >= 500:  # noqa: PLR2004  # it will take it later
                provider.webhooks.append(webhook)
        except OSError:
            connection = None
            provider.webhooks.append(webhook)
            await asyncio.sleep(0.05)
        provider.underway -= 1


async def _connected(gateway: str) -> Webhooks:
    address = urlsplit(gateway)
    host, port = address.hostname or "", address.port or 80
    _, connection = await asyncio.get_running_loop().create_connection(Webhooks, host, port)
    return connection


async def _serve(provider: Provider, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(provider), "127.0.0.1", port)
    tellers = [asyncio.create_task(_tell(provider)) for _ in range(CONNECTIONS)]
    async with server:
        await server.serve_forever()
    del tellers


def main(run: Callable[..., object] = uvloop.run) -> None:
    """Serves until it is stopped."""
    arguments = _arguments()
    provider = Provider(
        gateway=arguments.gateway,
        first=frozenset(arguments.first),
        latency=arguments.latency,
        jitter=arguments.jitter,
    )
    run(_serve(provider, arguments.port))


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.provider", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--first", action="append", default=[], help="an account of unknown users")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--jitter", type=float, default=0.0, help="seconds more or less")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
