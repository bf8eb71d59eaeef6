"""Committing receipts in groups: whoever arrives during one commit shares the next."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence

from anyio import to_thread

from cascade.storage.database import is_passing
from cascade.storage.inbox import NewReceipt


class GroupCommit:
    """Takes receipts from many requests; one commit at a time."""

    def __init__(self, store: Callable[[Sequence[NewReceipt]], object]) -> None:
        """`store` commits receipts and raises if it could not; it runs in a thread."""
        self._store = store
        self._waiting: list[tuple[Sequence[NewReceipt], asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()

    async def commit(self, receipts: Sequence[NewReceipt]) -> None:
        """Returns once the receipts are committed; raises what the commit raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((receipts, done))
        self._arrived.set()
        await done

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            group, self._waiting = self._waiting, []
            await self._commit(group)

    async def _commit(
        self, group: Sequence[tuple[Sequence[NewReceipt], asyncio.Future[None]]]
    ) -> None:
        receipts = [receipt for part, _ in group for receipt in part]
        try:
            await to_thread.run_sync(self._store, receipts)
        except Exception as error:  # noqa: BLE001  # each request hears of it, and answers 503
            # One bad receipt must not cost its neighbours their commit.
            if len(group) > 1 and not is_passing(error):
                for one in group:
                    await self._commit([one])
                return
            self._finish(group, error)
        else:
            self._finish(group, None)

    def _finish(
        self,
        group: Sequence[tuple[Sequence[NewReceipt], asyncio.Future[None]]],
        error: Exception | None,
    ) -> None:
        for _, done in group:
            if done.done():  # its client has gone away
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
