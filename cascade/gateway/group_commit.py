"""Committing receipts in groups: whoever arrives during one commit shares the next."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cascade.storage.database import is_passing
from cascade.storage.inbox import NewReceipt


Group = Sequence[tuple[Sequence[NewReceipt], asyncio.Future[None]]]

# Seconds for which the next group waits after one of several requests: its callers, who have just
# been answered, are about to send more. A lone request never waits.
GATHERING = 0.002


class GroupCommit:
    """Takes receipts from many requests; one commit at a time."""

    def __init__(
        self, store: Callable[[Sequence[NewReceipt]], object], *, gathering: float = GATHERING
    ) -> None:
        """`store` commits receipts and raises if it could not; it runs in a thread of its own."""
        self._store = store
        self._gathering = gathering
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
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
            if len(group) > 1:
                await asyncio.sleep(self._gathering)

    async def _commit(self, group: Group) -> None:
        receipts = [receipt for part, _ in group for receipt in part]
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._store, receipts)
        except Exception as error:  # noqa: BLE001  # each request hears of it, and answers 503
            # One bad receipt must not cost its neighbours their commit.
            if len(group) > 1 and not is_passing(error):
                for one in group:
                    await self._commit([one])
                return
            _finish(group, error)
        else:
            _finish(group, None)


def _finish(group: Group, error: Exception | None) -> None:
    for _, done in group:
        if done.done():  # its client has gone away
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
