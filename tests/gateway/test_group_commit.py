from __future__ import annotations

import asyncio

from collections.abc import Awaitable, Callable, Sequence

import pytest

from cascade.domain.state import AttemptState
from cascade.gateway.group_commit import GroupCommit
from cascade.storage.inbox import NewReceipt


def receipt(name: str) -> NewReceipt:
    return NewReceipt(
        account=name,
        status=AttemptState.DELIVERED,
        native_status="",
        native_code="",
        client_ref=None,
        provider_ref=None,
        event_at=None,
        dedupe_key=b"",
        raw=b"",
    )


def groups(work: Callable[[Callable[[str], Awaitable[None]]], Awaitable[object]]) -> list[str]:
    """What was committed together, while `work` commits one receipt of that name at a time."""
    stored: list[str] = []

    def store(receipts: Sequence[NewReceipt]) -> None:
        stored.append("".join(one.account for one in receipts))

    async def run() -> None:
        group_commit = GroupCommit(store, gathering=0.3)
        running = asyncio.create_task(group_commit.run())
        await asyncio.wait_for(work(lambda name: group_commit.commit([receipt(name)])), 10)
        running.cancel()

    asyncio.run(run())
    return stored


def test_after_a_group_the_next_one_gathers_for_a_moment():
    async def work(commit: Callable[[str], Awaitable[None]]) -> None:
        await asyncio.gather(commit("a"), commit("b"))
        first = asyncio.ensure_future(commit("c"))
        for _ in range(20):  # turns of the loop, in which a lone receipt would be on its way
            await asyncio.sleep(0)
        await asyncio.gather(first, commit("d"))

    assert groups(work) == ["ab", "cd"]


def test_a_lone_receipt_waits_for_nobody():
    async def work(commit: Callable[[str], Awaitable[None]]) -> float:
        begun = asyncio.get_running_loop().time()
        for name in "abcdefghij":
            await commit(name)
        taken = asyncio.get_running_loop().time() - begun
        assert taken < 1  # ten times a moment of gathering would be three seconds
        return taken

    assert groups(work) == list("abcdefghij")


def test_a_commit_that_fails_is_heard_of_by_its_requests_alone():
    def store(receipts: Sequence[NewReceipt]) -> None:
        if any(one.account == "bad" for one in receipts):
            raise ValueError

    async def run() -> list[object]:
        group_commit = GroupCommit(store)
        running = asyncio.create_task(group_commit.run())
        heard = await asyncio.gather(
            *(group_commit.commit([receipt(name)]) for name in ("good", "bad", "fine")),
            return_exceptions=True,
        )
        running.cancel()
        return list(heard)

    heard = asyncio.run(run())
    assert heard[0] is heard[2] is None
    with pytest.raises(ValueError, match=r"^$"):
        raise heard[1]  # type: ignore[misc]  # an exception
