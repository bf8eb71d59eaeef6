"""Calls by requests, each in a thread of its own: the plain transport."""

from __future__ import annotations

import math
import threading
import time

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from typing_extensions import override

from cascade.channels.base import HttpRequest, T
from cascade.channels.call import ANYBODY, AskingAdapter, Call, Trust
from cascade.channels.exchange import Exchange, Outcome
from cascade.channels.transport import Transport


class ThreadedTransport(Transport[T]):
    """The contract of `Transport`; its threads start with the first call, after any fork."""

    def __init__(
        self,
        *,
        flight: int,
        connect_timeout: float = 3.0,
        deadline: float = 4.0,
        body_limit: int = 64 * 1024,
        clock: Callable[[], float] = time.monotonic,
        trust: Trust = ANYBODY,
    ) -> None:
        self._trust = trust
        self.flight = flight
        self.deadline = deadline
        self._connect_timeout = connect_timeout
        self._body_limit = body_limit
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: dict[Call[T], None] = {}  # no outcome yet; the oldest first
        self._busy: set[Call[T]] = set()  # in a thread, given up or not
        self._done: list[Exchange[T]] = []
        self._threads: ThreadPoolExecutor | None = None
        self._mine = threading.local()
        self._adapters: list[AskingAdapter] = []

    @property
    @override
    def in_flight(self) -> int:
        with self._changed:
            return len(self._waiting) + len(self._done)

    @property
    @override
    def room(self) -> int:
        """As the contract says; a call given up in the middle of connecting keeps its thread for a
        moment longer, and its place with it.
        """
        with self._changed:
            return self.flight - len(self._busy) - len(self._done)

    @override
    def submit(self, request: HttpRequest[T], *, start_by: float | None = None) -> None:
        if self.room <= 0:
            raise RuntimeError("no room for another call")
        ends_at = self._clock() + self.deadline
        start_by = ends_at if start_by is None else start_by
        call = Call(
            request, start_by=start_by, ends_at=ends_at, clock=self._clock, trust=self._trust
        )
        with self._changed:
            self._waiting[call] = None
            self._busy.add(call)
        self._pool().submit(self._run, call)

    @override
    def collect(self, wait: float) -> list[Exchange[T]]:
        until = self._clock() + wait
        with self._changed:
            self._expire()
            while not self._done and self._busy and (left := until - self._clock()) > 0:
                self._changed.wait(min(left, self._until_next_deadline()))
                self._expire()
            done, self._done = self._done, []
        return done

    @override
    def close(self) -> None:
        with self._changed:
            for call in self._waiting:
                call.give_up()
            self._waiting.clear()
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        for adapter in self._adapters:
            adapter.close()
        self._adapters.clear()

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.flight, "provider-call")
        return self._threads

    def _run(self, call: Call[T]) -> None:
        outcome = call.perform(
            self._adapter(),
            connect_timeout=self._connect_timeout,
            body_limit=self._body_limit,
        )
        with self._changed:
            self._busy.discard(call)
            if call in self._waiting:
                self._end(call, outcome)
            self._changed.notify_all()

    def _adapter(self) -> AskingAdapter:
        adapter: AskingAdapter | None = getattr(self._mine, "adapter", None)
        if adapter is None:
            adapter = self._mine.adapter = AskingAdapter()
            self._adapters.append(adapter)
        return adapter

    def _expire(self) -> None:
        now = self._clock()
        for call in [call for call in self._waiting if call.ends_at <= now]:
            self._end(call, call.give_up())

    def _until_next_deadline(self) -> float:
        oldest = next(iter(self._waiting), None)
        return math.inf if oldest is None else max(oldest.ends_at - self._clock(), 0)

    def _end(self, call: Call[T], outcome: Outcome) -> None:
        del self._waiting[call]
        self._done.append(Exchange(request=call.request, outcome=outcome))
