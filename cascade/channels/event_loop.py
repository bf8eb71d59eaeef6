"""Calls by aiohttp on an event loop in one thread: the transport for volume."""

from __future__ import annotations

import asyncio
import functools
import ssl
import sys
import threading
import time

from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic

import aiohttp
import certifi

from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)
from typing_extensions import override
from yarl import URL

from cascade.channels.base import HttpRequest, HttpResponse, T
from cascade.channels.exchange import Ambiguous, Exchange, NotSent, Outcome
from cascade.channels.faults import BodyTooLargeError, GivenUpError
from cascade.channels.transport import Transport


_TRIES = 3
_FIRST_PAUSE = 0.05  # seconds, doubled after each try
_LONGEST_PAUSE = 0.5
_KEPT_ALIVE = 15.0  # seconds for which an idle connection is kept
_HEADERS = {"User-Agent": "cascade", "Accept-Encoding": "identity"}
_NO_AUTOMATIC = frozenset({"Accept", "Content-Type"})

_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(slots=True, eq=False)
class _Call(Generic[T]):
    """One request on its way. `start_by` and `ends_at` are moments of the monotonic `clock`."""

    request: HttpRequest[T]
    start_by: float
    ends_at: float
    clock: Callable[[], float]
    begun: bool = field(default=False, init=False)

    def before_write(self) -> None:
        """Raises GivenUpError if nothing may be written (any more)."""
        self.check_time()
        self.begun = True

    def check_time(self) -> None:
        """Raises GivenUpError if the call has begun, or may not begin any more."""
        if self.begun or self.clock() >= self.start_by:
            raise GivenUpError

    def lost(self, code: str) -> NotSent | Ambiguous:
        """What a call that brings no answer comes to."""
        return Ambiguous(code) if self.begun else NotSent(code)


_running: ContextVar[_Call[Any]] = ContextVar("cascade_call")


class _AskingRequest(aiohttp.ClientRequest):
    """Asks its call before its first byte is written; aiohttp would repeat some requests."""

    @override
    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        _running.get().before_write()
        return await super().send(conn)


class EventLoopTransport(Transport[T]):
    """The contract of `Transport`; its thread starts with the first call, after any fork."""

    def __init__(
        self,
        *,
        flight: int,
        connect_timeout: float = 3.0,
        deadline: float = 4.0,
        body_limit: int = 64 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.flight = flight
        self.deadline = deadline
        self._connect_timeout = connect_timeout
        self._body_limit = body_limit
        self._clock = clock
        self._changed = threading.Condition()
        self._submitted: deque[_Call[T]] = deque()  # the loop has not seen them yet
        self._under_way = 0  # no outcome yet
        self._done: list[Exchange[T]] = []
        self._loop: _Loop | None = None
        self._ended: list[Exchange[T]] = []  # the loop's own, until it hands them over
        self._tasks: set[asyncio.Task[None]] = set()  # the loop's own

    @property
    @override
    def in_flight(self) -> int:
        with self._changed:
            return self._under_way + len(self._done)

    @property
    @override
    def room(self) -> int:
        return self.flight - self.in_flight

    @override
    def submit(self, request: HttpRequest[T], *, start_by: float | None = None) -> None:
        if self.room <= 0:
            raise RuntimeError("no room for another call")
        loop = self._running_loop()
        ends_at = self._clock() + self.deadline
        start_by = ends_at if start_by is None else min(start_by, ends_at)
        with self._changed:
            self._under_way += 1
            self._submitted.append(_Call(request, start_by, ends_at, self._clock))
            wakes = len(self._submitted) == 1
        if wakes:
            loop.call(self._start_submitted)

    @override
    def collect(self, wait: float) -> list[Exchange[T]]:
        with self._changed:
            self._changed.wait_for(lambda: self._done or not self._under_way, wait)
            done, self._done = self._done, []
        return done

    @override
    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()
        with self._changed:
            self._submitted.clear()
            self._under_way = 0
            self._done.clear()

    def _running_loop(self) -> _Loop:
        if self._loop is None:
            self._loop = _Loop(self._connect_timeout)
        return self._loop

    def _start_submitted(self, session: aiohttp.ClientSession) -> None:
        with self._changed:
            calls = list(self._submitted)
            self._submitted.clear()
        for call in calls:
            task = asyncio.get_running_loop().create_task(self._perform(session, call))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _perform(self, session: aiohttp.ClientSession, call: _Call[T]) -> None:
        outcome = await _outcome(session, call, self._body_limit)
        if not self._ended:  # the first of those that end in this turn of the loop
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._ended.append(Exchange(request=call.request, outcome=outcome))

    def _hand_over(self) -> None:
        ended, self._ended = self._ended, []
        with self._changed:
            self._under_way -= len(ended)
            self._done += ended
            self._changed.notify_all()


class _Loop:
    """An event loop with its connections, in a thread of its own."""

    def __init__(self, connect_timeout: float) -> None:
        self._loop = _new_event_loop()
        self._thread = threading.Thread(target=self._run, name="provider-calls", daemon=True)
        self._thread.start()
        opening = asyncio.run_coroutine_threadsafe(_session(connect_timeout), self._loop)
        self._session = opening.result()

    def call(self, work: Callable[[aiohttp.ClientSession], object]) -> None:
        """Runs `work` in the loop, soon."""
        self._loop.call_soon_threadsafe(work, self._session)

    def close(self) -> None:
        """Ends every call and the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._session.close()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """The faster one, where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415  # is not there on Windows

    return uvloop.new_event_loop()


async def _session(connect_timeout: float) -> aiohttp.ClientSession:
    """Connections as the contract wants them."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,  # `flight` is the limit
            keepalive_timeout=_KEPT_ALIVE,
            ssl=_certificates(),
        ),
        request_class=_AskingRequest,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        skip_auto_headers=_NO_AUTOMATIC,
        auto_decompress=False,  # what was not asked for may be a bomb
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
        trust_env=False,
    )


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Those that requests trusts, too; reading them takes a while."""
    return ssl.create_default_context(cafile=certifi.where())


async def _outcome(session: aiohttp.ClientSession, call: _Call[T], body_limit: int) -> Outcome:
    """What became of the request; only a connection that failed is tried again."""
    _running.set(call)
    try:
        async with asyncio.timeout(call.ends_at - call.clock()):
            return await _connected(session, call, body_limit)
    except TimeoutError:
        return call.lost("deadline")
    except Exception as error:  # noqa: BLE001  # texts of errors hold addresses: keep classes
        return call.lost(type(error).__name__)


async def _connected(
    session: aiohttp.ClientSession, call: _Call[T], body_limit: int
) -> HttpResponse:
    try:
        return await _once(session, call, body_limit)
    except _NEVER_CONNECTED:
        if call.begun:
            raise
    await asyncio.sleep(_FIRST_PAUSE / 2)
    retrying = AsyncRetrying(  # only now: it takes a third of a call's CPU
        retry=retry_if_exception(
            lambda error: not call.begun and isinstance(error, _NEVER_CONNECTED)
        ),
        stop=stop_after_attempt(_TRIES - 1),
        wait=wait_random_exponential(multiplier=2 * _FIRST_PAUSE, max=_LONGEST_PAUSE),
        reraise=True,
    )
    answer: HttpResponse = await retrying(_once, session, call, body_limit)
    return answer


async def _once(session: aiohttp.ClientSession, call: _Call[T], body_limit: int) -> HttpResponse:
    call.check_time()
    request = call.request
    async with session.request(
        request.method,
        URL(request.url, encoded=True),
        headers=request.headers,
        data=request.body,
        allow_redirects=False,
    ) as response:
        body = b""
        async for part in response.content.iter_any():
            body += part
            if len(body) > body_limit:
                response.close()
                raise BodyTooLargeError
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(status=response.status, headers=headers, body=body)
