"""Webhooks: first in, first out, some in flight, each repeated until it is acknowledged."""

from __future__ import annotations

import asyncio

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import aiohttp

from cascade.sandbox.clock import Tempo
from cascade.sandbox.faults import Failure, Faults
from cascade.sandbox.ledger import Ledger, Message


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
    """What a receiver is to be told."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    retries: Retries


@dataclass(slots=True, kw_only=True, eq=False)
class _Owed:
    """One copy of a webhook, until it is acknowledged or given up."""

    webhook: Webhook
    message: Message
    word: str
    copy: int
    faults: Faults
    pauses: Iterator[float]
    tries: int = 0
    heard: bool = False  # acknowledged, though the provider may not know

    def next_failure(self) -> Failure | None:
        self.tries += 1
        return self.faults.failure(self.message.phone, self.word, (self.copy, self.tries))


class Webhooks:
    """Owes webhooks to their receivers; `pending` counts those neither acknowledged nor given up."""

    def __init__(self, ledger: Ledger, tempo: Tempo, *, in_flight: int = 32) -> None:
        self.pending = 0
        self._ledger = ledger
        self._tempo = tempo
        self._in_flight = in_flight
        self._queue: asyncio.Queue[_Owed] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    def owe(self, webhook: Webhook, message: Message, *, word: str, faults: Faults) -> None:
        """Queues `webhook`, which tells `word` of `message`, as often and as late as `faults` say."""
        delays = faults.delays(message.phone, word)
        if not delays:
            self._ledger.miss(message, word=word)
        for copy, delay in enumerate(delays):
            owed = _Owed(
                webhook=webhook,
                message=message,
                word=word,
                copy=copy,
                faults=faults,
                pauses=webhook.retries.pauses(self._tempo),
            )
            self.pending += 1
            self._queue_after(delay * self._tempo.second, owed)

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

    def _queue_after(self, seconds: float, owed: _Owed) -> None:
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._queue.put_nowait, owed)
        else:
            self._queue.put_nowait(owed)

    async def _work(self) -> None:
        while True:
            owed = await self._queue.get()
            if await self._is_acknowledged(owed):
                self.pending -= 1
            else:
                self._repeat(owed)

    async def _is_acknowledged(self, owed: _Owed) -> bool:
        """Calls once; whether the provider learns that it was heard."""
        failure = owed.next_failure()
        if failure is Failure.NOT_SENT:
            return False
        await self._ledger.kept()  # nothing is told that could be forgotten
        status = await self._post(owed.webhook)
        self._ledger.tell(owed.message, word=owed.word, status=status)
        heard = status is not None and 200 <= status < 300  # noqa: PLR2004  # HTTP's own numbers
        owed.heard |= heard
        return heard and failure is None

    async def _post(self, webhook: Webhook) -> int | None:
        try:
            async with self._session.post(
                webhook.url, data=webhook.body, headers=webhook.headers, allow_redirects=False
            ) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, OSError, ValueError):  # also of an address that is none
            return None

    def _repeat(self, owed: _Owed) -> None:
        pause = next(owed.pauses, None)
        if pause is not None:
            self._queue_after(pause, owed)
            return
        self.pending -= 1
        if not owed.heard:
            self._ledger.miss(owed.message, word=owed.word)
