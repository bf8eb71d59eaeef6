"""Pages for those who run the service: `/health` of this gateway, `/healthz` of all of it.

`/healthz` tells by what has been done in the database: a worker that answers a ping may do nothing.
It is no reason to take a gateway out of a proxy, since receipts are taken while nothing ticks.
"""

from __future__ import annotations

import asyncio
import time

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cascade.services import check_database
from cascade.services.finding import Finding, Health
from cascade.storage.database import now
from cascade.storage.metrics import be_brief


T = TypeVar("T")

PATIENCE = 3.0  # seconds for the database
FRESH = 1.0  # seconds for which one look is the answer to all who ask

_PROGRESS = {
    "tick": check_database.tick,
    "due": check_database.due,
    "receipts": check_database.receipts,
}

_UNAVAILABLE = 503


class Look(Generic[T]):
    """Looks at the database in a thread of its own, at most once a second, however many ask."""

    def __init__(self, engine: Engine, work: Callable[[Connection], T], patience: float) -> None:
        self._engine = engine
        self._work = work
        self._patience = patience
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._looking: asyncio.Future[T] | None = None
        self._begun_at = 0.0

    async def __call__(self) -> T:
        """What was seen; raises TimeoutError if that did not come in time."""
        return await asyncio.wait_for(asyncio.shield(self._newest()), self._patience)

    def _newest(self) -> asyncio.Future[T]:
        looking = self._looking
        is_old = time.monotonic() - self._begun_at >= FRESH
        if looking is None or (looking.done() and is_old):  # one that hangs is not joined by more
            loop = asyncio.get_running_loop()
            looking = self._looking = loop.run_in_executor(self._pool, self._see)
            self._begun_at = time.monotonic()
        return looking

    def _see(self) -> T:
        with self._engine.begin() as connection:
            be_brief(connection)
            return self._work(connection)


def health_routes(engine: Engine, *, patience: float = PATIENCE) -> list[Route]:
    """Both pages: 200 if all is well, else 503; each line of `/healthz` tells of one part."""
    answers = partial(_answers, Look(engine, now, patience))
    progress = partial(_progress, Look(engine, _look_at_progress, patience))
    return [Route("/health", _page(answers)), Route("/healthz", _page(progress))]


def _page(
    answer: Callable[[], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def page(_request: Request) -> Response:
        try:
            return await answer()
        except Exception as error:  # noqa: BLE001  # the answer is the report
            text = f"database: {type(error).__name__}\n"
            return PlainTextResponse(text, status_code=_UNAVAILABLE)

    return page


async def _answers(look: Look[object]) -> Response:
    await look()
    return PlainTextResponse("ok\n")


async def _progress(look: Look[dict[str, Finding]]) -> Response:
    found = await look()
    lines = [f"{name}: {one.state}: {one.seen}\n" for name, one in found.items()]
    is_red = any(one.state is Health.RED for one in found.values())
    return PlainTextResponse("".join(lines), status_code=_UNAVAILABLE if is_red else 200)


def _look_at_progress(connection: Connection) -> dict[str, Finding]:
    return {name: check(connection) for name, check in _PROGRESS.items()}
