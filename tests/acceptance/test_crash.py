from __future__ import annotations

import uuid

from collections.abc import Collection

import pytest

from cascade import MessageState
from demo.figures import read_figures
from tests.acceptance.service import Service, phone
from tests.acceptance.waiting import until


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

# 9 on VK: the call is not answered, so its worker is busy with it for 4 s.
FATES = ("91111", "11111", "44191", "47111", "45131", "81111", "48111", "44441", "44331", "51111")


def test_killed_processes_lose_no_message_send_none_twice_and_leave_the_books_equal(
    service: Service,
) -> None:
    stack = service.stack
    stack.kill("gateway")
    ids = service.send_many(phone(fate, 20 + n) for fate in FATES for n in range(3))
    silent = {phone(FATES[0], 20 + n) for n in range(3)}
    until(lambda: silent <= called(service), seconds=20, what="calls in the air")
    for name in ("vk", "collector", "tick"):
        stack.kill(name)
    assert "sending" in {one.state for one in service.attempts(ids)}
    until(lambda: stack.pending() > 0, seconds=10, what="webhook without a receiver")
    for name in ("collector", "tick", "vk"):
        stack.restart(name)
    until(lambda: broken(service, ids), seconds=30, what="broken lease")
    stack.restart("gateway")
    service.await_final(ids, seconds=90)
    service.await_quiet()
    states = {service.status(one).state for one in ids}
    assert states == {MessageState.DELIVERED}
    assert max(service.accepted_events(ids).values()) == 1
    figures = read_figures(
        service.ledger, stack.sandbox_ledger, pending=stack.pending(), seconds=0
    )
    assert figures.books.is_balanced
    charged, billed = figures.in_all.charged, figures.in_all.billed
    assert charged + figures.in_all.unattributable == billed
    assert billed.count == len(service.sandbox_events("delivered"))


def called(service: Service) -> set[str]:
    """Who was ever sent something."""
    return {event["recipient"] for event in service.sandbox_events("accepted")}


def broken(service: Service, ids: Collection[uuid.UUID]) -> bool:
    """Whether a call is known to be nobody's."""
    return "lease" in {one.error for one in service.attempts(ids)}
