from __future__ import annotations

import pytest

from sqlalchemy import text

from cascade.services.post import LEASE
from cascade.storage import endpoints as storage, events
from cascade.storage.rows import as_rows
from tests.services.journey import Journey
from tests.storage.test_events import OWED, _met, _remember


pytestmark = pytest.mark.integration

ENDPOINTS = [f"endpoint-{number:02}" for number in range(50)]


def test_a_claim_meets_what_it_takes_and_nothing_of_those_that_wait_for_a_disabled_endpoint(
    journey: Journey,
):
    with journey.engine.connect() as connection:
        _remember(connection)
        storage.sync_endpoints(connection, ENDPOINTS)
        # Most of what is owed waits for one that is disabled, and has waited longest.
        connection.execute(
            text(
                "UPDATE cascade.events SET endpoint = CASE WHEN id % 10 > 0 THEN 'endpoint-00'"
                " ELSE 'endpoint-' || lpad(CAST(1 + id / 10 % 49 AS text), 2, '0') END,"
                " due_at = due_at - make_interval(hours => CASE WHEN id % 10 > 0 THEN 1 ELSE 0 END)"
                " WHERE due_at IS NOT NULL"
            )
        )
        connection.execute(
            text("UPDATE cascade.endpoints SET disabled_at = now() WHERE name = 'endpoint-00'")
        )
        connection.execute(text("ANALYZE cascade.events, cascade.endpoints"))

        rooms = as_rows({"name": name, "room": 4} for name in ENDPOINTS)
        claiming = _met(
            connection,
            storage._CLAIM,
            rooms=rooms,
            quota=400,
            lease=LEASE,
            silence=storage.SILENCE,
        )
        calling = _met(connection, events._CLAIM, quota=500, lease=LEASE)
        connection.rollback()

    taken = OWED // 10
    assert claiming["events_endpoint_due_idx"] <= taken
    assert claiming["messages_pkey"] == taken - 4
    assert "events" not in claiming  # the whole table
    assert calling["events_task_due_idx"] == 0
