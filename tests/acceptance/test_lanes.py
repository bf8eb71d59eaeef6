from __future__ import annotations

from collections.abc import Collection

import pytest

from cascade import Channel, Lane, MessageState
from demo.stack import WORKERS
from tests.acceptance.secrecy import found, secrets
from tests.acceptance.service import Service, attempt_ids, phone
from tests.acceptance.waiting import until


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

BACKLOG = 16  # hints, four for each child of a channel's worker


def test_an_urgent_message_is_served_while_its_channel_is_busy_with_a_backlog(
    service: Service,
) -> None:
    bulk = [phone(f"1111{digit}", number) for digit in (1, 2) for number in (8, 9)]
    with service.without("vk"):
        waiting = service.send_many(bulk, priority=Lane.BULK)
        urgent = service.send(phone("11113", 8), priority=Lane.URGENT)
        service.await_final([urgent])
        assert service.status(urgent).channel is Channel.VK
        assert {(one.state, one.tries) for one in service.attempts(waiting)} == {("queued", 0)}
        contents = "\n".join(service.broker().contents())
        queued = service.broker().bodies("vk.bulk")
    assert queued
    assert "".join(queued).count("[[") == len(queued)
    assert found(contents, secrets(bulk)) == []
    service.await_final(waiting)


def test_a_worker_that_serves_all_lanes_takes_the_urgent_one_first(service: Service) -> None:
    with service.without("urgent"):
        with service.without("vk"):
            bulk = [service.send(phone("12111", n), priority=Lane.BULK) for n in range(BACKLOG)]
            urgent = service.send(phone("11114", 8), priority=Lane.URGENT)
        service.await_final([*bulk, urgent])
    [first] = service.attempts([urgent])
    ids = {one.id for one in service.attempts([*bulk, urgent])}
    order = until(lambda: taken(service, ids), seconds=20, what="task of each message")
    children = WORKERS["vk"][1]
    assert order.index(first.id) < children  # at most those before it that it was taken with
    assert service.status(urgent).state is MessageState.DELIVERED


def taken(service: Service, ids: Collection[int]) -> list[int]:
    """These attempts in the order in which workers took their tasks; none if one is not known yet.

    A busy machine may still begin the first one late.
    """
    received: dict[int, float] = {}
    for task in service.flower("/api/tasks?limit=10000").json().values():
        for one in attempt_ids(task) if task["name"] else ():
            if one in ids:
                received[one] = min(received.get(one, task["received"]), task["received"])
    return sorted(received, key=received.__getitem__) if len(received) == len(ids) else []
