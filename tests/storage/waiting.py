"""Waiting until a transaction waits for another one."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Engine, text


def wait_for_one_that_waits(engine: Engine, what: str) -> dt.datetime:
    """Until a statement like this waits for another transaction; when it began."""
    statement = text(
        "SELECT query_start FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE :what"
    )
    for _ in range(500):
        with engine.begin() as connection:
            for [begun_at] in connection.execute(statement, {"what": what}):
                assert isinstance(begun_at, dt.datetime)
                return begun_at
            connection.execute(text("SELECT pg_sleep(0.02)"))
    raise AssertionError("nothing waits")
