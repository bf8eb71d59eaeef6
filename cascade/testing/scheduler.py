"""The seeded scheduler: one thing at a time, in an order that the seed decides.

A task is real code of the services. It runs until it would wait (for a provider, for the database)
or dies there; meanwhile others run. `greenlet` carries that: the code itself knows nothing of it.
"""

from __future__ import annotations

import datetime as dt
import heapq
import random

from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet
from typing_extensions import override

from cascade.testing.clock import VirtualClock


class KilledError(BaseException):
    """The process is gone: nothing of it runs any more. No handler of the services catches it."""


class Task(greenlet):
    """Code that waits and dies like a process."""

    def __init__(self, scheduler: Scheduler, work: Callable[[], object]) -> None:
        super().__init__(parent=scheduler.hub)
        self._work = work
        self.is_killed = False

    @override
    def run(self, *_args: Any) -> None:
        try:
            self._work()
        except KilledError:
            self.is_killed = True

    def check(self) -> None:
        """What a dead process still tries, such as its `finally`, comes to nothing: KilledError."""
        if self.is_killed:
            raise KilledError


class Scheduler:
    """Events by virtual time; those of the same moment in random order."""

    def __init__(self, clock: VirtualClock, rng: random.Random) -> None:
        self.clock = clock
        self.rng = rng
        self.hub = getcurrent()
        self.horizon = clock.now
        """Until then nothing but events happens."""
        self._events: list[tuple[dt.datetime, float, int, Callable[[], object]]] = []
        self._count = 0

    def after(self, seconds: float, work: Callable[[], object]) -> None:
        """Calls `work` so many seconds from now."""
        self._at(self.clock.now + dt.timedelta(seconds=seconds), work)

    def _at(self, moment: dt.datetime, work: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._events, (moment, self.rng.random(), self._count, work))

    def start(self, work: Callable[[], object]) -> Task:
        """Runs `work` as a task, from now on."""
        task = Task(self, work)
        self.after(0, task.switch)
        return task

    def wait(self, seconds: float) -> None:
        """Lets others run for so long; outside of a task it does nothing."""
        task = getcurrent()
        if not isinstance(task, Task):
            return
        task.check()
        moment = self.clock.now + dt.timedelta(seconds=seconds)
        if self._is_quiet_until(moment):
            self.clock.now = moment
            return
        self._at(moment, task.switch)
        self.hub.switch()
        task.check()

    def _is_quiet_until(self, moment: dt.datetime) -> bool:
        """Whether nobody else has anything to do by then."""
        events = self._events
        return moment < self.horizon and not (events and events[0][0] <= moment)

    def kill(self) -> None:
        """Ends the task that calls it, as SIGKILL does."""
        task = getcurrent()
        if isinstance(task, Task):
            task.is_killed = True
            task.check()

    @property
    def is_in_task(self) -> bool:
        """Whether the caller is a task, and no event."""
        return isinstance(getcurrent(), Task)

    def check(self) -> None:
        """Raises KilledError in a task that was killed."""
        task = getcurrent()
        if isinstance(task, Task):
            task.check()

    @property
    def next_at(self) -> dt.datetime | None:
        """When the next event is."""
        return self._events[0][0] if self._events else None

    def run(self) -> None:
        """Lets all events before the horizon happen."""
        self.hub = getcurrent()
        events, clock, horizon = self._events, self.clock, self.horizon
        while events and events[0][0] < horizon:
            moment, _, _, work = heapq.heappop(events)
            clock.now = max(clock.now, moment)
            work()
