"""Two processes on two connections, statement by statement: one is stopped where a test says."""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine, event, text


T = TypeVar("T")

PATIENCE = 10.0  # seconds until a race that does not go as it should is given up
LOOKS = 5000

_WAITING = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
""")


@dataclass(slots=True)
class _Stop:
    """Where a thread stops: before its first statement with these words, or before its COMMIT."""

    words: str
    is_at_commit: bool
    reached: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    _is_near: bool = False

    def before(self, statement: str) -> None:
        self._is_near = self.words in statement or self._is_near
        if self._is_near and not self.is_at_commit:
            self._wait()

    def before_commit(self) -> None:
        if self._is_near and self.is_at_commit:
            self._wait()

    def _wait(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self.goes_on.wait(PATIENCE), "nobody let it go on"


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What the second process answered, and whether it had to wait for the first one's locks."""

    waited: bool
    second: T


class Interleaving:
    """Stops and starts processes that work on `engine`; `observer` sees who waits for whom."""

    def __init__(self, engine: Engine, observer: Engine) -> None:
        self._engine = engine
        self._observer = observer
        self._stops: dict[int, _Stop] = {}  # by thread
        self._threads = ThreadPoolExecutor(2, "process")
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "commit", self._commit)

    def close(self) -> None:
        self._threads.shutdown()
        event.remove(self._engine, "before_cursor_execute", self._before)
        event.remove(self._engine, "commit", self._commit)

    def race(
        self,
        first: Callable[[], object],
        second: Callable[[], T],
        *,
        before: str = "",
        committing: str = "",
        meanwhile: Callable[[], object] | None = None,
    ) -> Outcome[T]:
        """`first` is stopped, `second` runs until it is done or waits, then both run to their ends.

        It is stopped before its first statement with the words `before`, else before the COMMIT
        of its first transaction that has a statement with the words `committing`. `meanwhile`
        happens before `second` begins.
        """
        stop = _Stop(before or committing, is_at_commit=not before)
        with self._stopped(first, stop) as one:
            if meanwhile is not None:
                meanwhile()
            other, waited = self.begun(second)
        one.result(PATIENCE)
        return Outcome(waited, other.result(PATIENCE))

    def begun(self, work: Callable[[], T]) -> tuple[Future[T], bool]:
        """`work`, and whether it waits for a lock: it does by now, or it is done."""
        future = self._threads.submit(work)
        for _ in range(LOOKS):
            if future.done():
                return future, False
            with self._observer.connect() as connection:
                if connection.execute(_WAITING).scalar_one():
                    return future, True
        raise AssertionError("it is neither done nor waiting")

    @contextmanager
    def _stopped(self, work: Callable[[], object], stop: _Stop) -> Iterator[Future[object]]:
        """Within, `work` stands still."""
        future = self._threads.submit(self._run, work, stop)
        try:
            assert stop.reached.wait(PATIENCE), f"it never came to {stop.words}"
            yield future
        finally:
            stop.goes_on.set()

    def _run(self, work: Callable[[], object], stop: _Stop) -> object:
        self._stops[threading.get_ident()] = stop
        try:
            return work()
        finally:
            del self._stops[threading.get_ident()]

    def _before(
        self, _connection: Connection, _cursor: object, statement: str, *_: object
    ) -> None:
        stop = self._stops.get(threading.get_ident())
        if stop is not None:
            stop.before(statement)

    def _commit(self, _connection: Connection) -> None:
        stop = self._stops.get(threading.get_ident())
        if stop is not None:
            stop.before_commit()
