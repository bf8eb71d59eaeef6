"""The way to scripted providers: calls that take virtual time, under the transport's own rules."""

from __future__ import annotations

import datetime as dt

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from typing_extensions import override

from cascade.channels.base import HttpRequest, T
from cascade.channels.exchange import Ambiguous, Exchange, NotSent, Outcome
from cascade.channels.transport import Transport
from cascade.services.deployment import CALL_DEADLINE
from cascade.testing.scheduler import Scheduler


CONNECTING = (0.005, 0.05)  # seconds until the request has arrived, and
ANSWERING = range(1, 9)  # twentieths of a second until its answer is back: some come together
FLIGHT = 64

_TWENTIETH = dt.timedelta(milliseconds=50)

Serve = Callable[[HttpRequest[T]], Outcome]


@dataclass(slots=True)
class _Call(Generic[T]):
    request: HttpRequest[T]
    ends_at: dt.datetime
    outcome: Outcome


def _rounded(moment: dt.datetime) -> dt.datetime:
    return moment.replace(microsecond=moment.microsecond // 50_000 * 50_000)


class ScriptedTransport(Transport[T]):
    """The contract of `Transport` in one process, on the scheduler's time."""

    def __init__(self, scheduler: Scheduler, serve: Serve[T], *, flight: int = FLIGHT) -> None:
        """`serve` is what happens when a request arrives."""
        self.flight = flight
        self.deadline = CALL_DEADLINE
        self._scheduler = scheduler
        self._serve = serve
        self._calls: list[_Call[T]] = []

    @property
    @override
    def in_flight(self) -> int:
        return len(self._calls)

    @property
    @override
    def room(self) -> int:
        return self.flight - len(self._calls)

    @override
    def submit(self, request: HttpRequest[T], *, start_by: float | None = None) -> None:
        self._scheduler.check()
        if self.room <= 0:
            raise RuntimeError("no room for another call")
        clock, uniform = self._scheduler.clock, self._scheduler.rng.uniform
        if start_by is not None and clock.monotonic() >= start_by:
            self._calls.append(_Call(request, clock.now, NotSent("too late")))
            return
        ends_at = clock.now + dt.timedelta(seconds=self.deadline)
        call = _Call(request, ends_at, Ambiguous("deadline"))
        self._calls.append(call)
        self._scheduler.after(uniform(*CONNECTING), lambda: self._arrive(call))

    def _arrive(self, call: _Call[T]) -> None:
        call.outcome = self._serve(call.request)
        if not isinstance(call.outcome, Ambiguous):
            pauses = self._scheduler.rng.choice(ANSWERING)
            call.ends_at = _rounded(self._scheduler.clock.now) + pauses * _TWENTIETH

    @override
    def collect(self, wait: float) -> list[Exchange[T]]:
        self._scheduler.check()
        done = self._done_calls()
        if not done and self._calls:
            ends_at = min(call.ends_at for call in self._calls)
            until = (ends_at - self._scheduler.clock.now).total_seconds()
            self._scheduler.wait(max(0.0, min(wait, until)))
            done = self._done_calls()
        return [Exchange(request=call.request, outcome=call.outcome) for call in done]

    def _done_calls(self) -> list[_Call[T]]:
        now = self._scheduler.clock.now
        done = [call for call in self._calls if call.ends_at <= now]
        if done:
            self._calls = [call for call in self._calls if call.ends_at > now]
        return done

    @override
    def close(self) -> None:
        self._calls.clear()
