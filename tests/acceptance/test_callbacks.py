from __future__ import annotations

import uuid

from collections.abc import Sequence
from typing import Any

import pytest

from sqlalchemy import Row

from tests.acceptance.caller import Caller
from tests.acceptance.service import Service, phone
from tests.acceptance.waiting import until


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def events(service: Service, message_id: uuid.UUID) -> Sequence[Row[Any]]:
    return service.rows(
        "SELECT state, tries, told_at FROM cascade.events WHERE message_id = :id ORDER BY sequence",
        id=message_id,
    )


def test_a_callers_task_hears_each_change_in_order_also_after_its_broker_was_away(
    service: Service, caller: Caller
) -> None:
    # Delivered by WhatsApp at once, but nobody hears the webhook before the SMS has failed too.
    to = phone("11115", 9)
    with caller.without_broker(), service.without("gateway"):
        message_id = service.send(to, policy="hasty", on_status=caller.on_status)
        until(
            lambda: [one.tries for one in events(service, message_id)] >= [1],
            seconds=30,
            what="event whose telling has failed",
        )
    with caller.working():
        until(lambda: len(caller.heard()) >= 2, seconds=40, what="second call")
    assert caller.heard() == [
        {"message_id": str(message_id), "state": "undelivered", "sequence": 1},
        {"message_id": str(message_id), "state": "delivered", "sequence": 2},
    ]
    assert all(one.told_at for one in events(service, message_id))
