"""Webhooks: first in, first out, some in flight, each repeated until it is acknowledged."""

from __future__ import annotations

import asyncio

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import aiohttp

from cascade.sandbox.clock import Tempo


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """A provider's schedule: pauses double from `first` to `longest` seconds.

    It gives up after `tries` calls. A pause is never shorter than 0.5, 1, 2, 4, 5, 5 … promised
    seconds whatever the scale, so that half a minute's outage of the receiver exhausts nobody.
    """

    first: float
    longest: float
    tries: int

    def pauses(self, tempo: Tempo) -> Iterator[float]:
        """Seconds to wait after each failed try but the last."""
        for turn in range(self.tries - 1):
            doubled = min(self.first * 2 ** min(turn, 30), self.longest) * tempo.scale
            yield max(doubled, min(0.5 * 2 ** min(turn, 30), 5.0) * tempo.second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One call that is owed to a receiver."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    pauses: Iterator[float] = field(repr=False)


class Webhooks:
    """Owes webhooks to their receivers; `pending` counts those neither acknowledged nor given up."""

    def __init__(self, tempo: Tempo, *, in_flight: int = 32) -> None:
        self.pending = 0
        self._tempo = tempo
        self._in_flight = in_flight
        self._queue: asyncio.Queue[Webhook] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    def owe(self, url: str, *, body: bytes, headers: Mapping[str, str], retries: Retries) -> None:
        """Queues one webhook."""
        self.pending += 1
        pauses = retries.pauses(self._tempo)
        self._queue.put_nowait(Webhook(url=url, body=body, headers=headers, pauses=pauses))

    def start(self) -> None:
        """Starts calling; needs a running loop."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=10),
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._in_flight)]

    async def stop(self) -> None:
        """Stops at once; what is still owed is forgotten."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._session.close()

    async def handshake(self, url: str, query: Mapping[str, str]) -> str:
        """The body of a GET, empty if nobody answers with 200."""
        try:
            async with self._session.get(url, params=query) as response:
                return await response.text() if response.ok else ""
        except (aiohttp.ClientError, TimeoutError):
            return ""

    async def _work(self) -> None:
        while True:
            webhook = await self._queue.get()
            if await self._is_acknowledged(webhook):
                self.pending -= 1
            else:
                self._repeat(webhook)

    async def _is_acknowledged(self, webhook: Webhook) -> bool:
        try:
            async with self._session.post(
                webhook.url, data=webhook.body, headers=webhook.headers, allow_redirects=False
            ) as response:
                await response.read()
                return 200 <= response.status < 300  # noqa: PLR2004  # HTTP's own numbers
        except (aiohttp.ClientError, OSError, ValueError):  # a bad address is an unheard webhook
            return False

    def _repeat(self, webhook: Webhook) -> None:
        pause = next(webhook.pauses, None)
        if pause is None:
            self.pending -= 1
        else:
            asyncio.get_running_loop().call_later(pause, self._queue.put_nowait, webhook)
