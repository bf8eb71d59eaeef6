from __future__ import annotations

import re
import uuid

from collections import Counter

import pytest

from cascade import AttemptState, MessageState
from demo.process import stop
from tests.acceptance.service import Service, phone
from tests.acceptance.waiting import until


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

OVERDUE = 3  # seconds that a retry was due without being sent; with beat it is one at most


def ticks(service: Service, since: int) -> Counter[str]:
    """Ticks that did their work, and second ones that found it done, after a place in the log."""
    lines = re.findall(r"Task tick\[\S+\] succeeded in \S+ '([^']*)'", service.log("tick")[since:])
    return Counter("second" if line == "second=1" else "first" for line in lines)


def database_seconds(service: Service) -> float:
    [(seconds,)] = service.rows("SELECT extract(epoch FROM cascade.clock())")
    return float(seconds)


def test_without_beat_a_due_retry_waits_and_with_beat_it_goes(service: Service) -> None:
    def overdue() -> bool:
        [(seconds,)] = service.rows(
            "SELECT extract(epoch FROM cascade.clock() - due_at) FROM cascade.attempts"
            " WHERE message_id = :id AND state = 'retry' UNION ALL SELECT 0 LIMIT 1",
            id=message_id,
        )
        return bool(seconds > OVERDUE)

    with service.without("beat"):
        # Throttled twice on VK; an hour's TTL, so that the pace of this machine does not matter.
        message_id = service.send(phone("81111", 2), policy="patient")
        until(overdue, seconds=30, what="retry that is overdue")
        [waiting] = service.attempts([message_id])
        assert (waiting.state, waiting.tries) == ("retry", 1)
    service.await_final([message_id])
    status = service.status(message_id)
    assert status.state is MessageState.DELIVERED
    assert [(one.state, one.tries) for one in status.attempts] == [(AttemptState.DELIVERED, 3)]


def test_two_beats_send_nothing_twice_and_tick_no_faster(service: Service) -> None:
    ids: list[uuid.UUID] = []
    begun, since = database_seconds(service), len(service.log("tick"))
    service.stack.start_beat("second beat")
    try:
        # Retries, expiries, doubled webhooks: whatever a tick may touch.
        ids += service.send_many(phone(digits, 3) for digits in ("81111", "48111", "73311"))
        ids += [service.send(phone("111" + digits, 3), policy="hasty") for digits in ("61", "68")]
        until(lambda: ticks(service, since)["second"] >= 5, seconds=30, what="second tick")
        service.await_final(ids)
    finally:
        stop([service.stack.processes.pop("second beat")])
    accepted = service.accepted_events(ids)
    assert set(accepted.values()) <= {0, 1}
    assert sum(accepted.values()) >= len(ids)
    elapsed = database_seconds(service) - begun
    assert ticks(service, since)["first"] <= elapsed / 0.9 + 1
