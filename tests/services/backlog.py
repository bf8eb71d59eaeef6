"""A backlog behind stale statistics: where a plan that looks through it would show."""

from __future__ import annotations

import json

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text


# The planner trap of performance: with stale statistics a partial index on live rows looks empty,
# and a claim by ids becomes a scan of the whole backlog.
LIVE = 20_000


def backlog(connection: Connection) -> list[int]:
    """20,000 live attempts in new tables, behind statistics of a quiet moment."""
    connection.execute(text("TRUNCATE cascade.messages, cascade.attempts CASCADE"))
    connection.execute(text("ANALYZE cascade.attempts"))
    connection.execute(text("ANALYZE cascade.messages"))
    policy_id = connection.execute(text("SELECT min(id) FROM cascade.policies")).scalar_one()
    connection.execute(
        text("""
            INSERT INTO cascade.messages (id, sender, recipient, recipient_hash, content,
                policy_id, lane, state, deadline, created_at)
            SELECT gen_random_uuid(), 'default', '\\x00', '\\x00', '\\x00', :policy_id, 'normal',
                'in_progress', cascade.clock() + interval '1 day', cascade.clock()
            FROM generate_series(1, :live)
        """),
        {"policy_id": policy_id, "live": LIVE},
    )
    ids = connection.execute(
        text("""
            INSERT INTO cascade.attempts (message_id, step, channel, account, state, lane, ttl,
                ttl_minimum, due_at, expires_at, client_ref, created_at)
            SELECT id, 0, 'vk', 'notify-vk', 'queued', 'normal', 60, 0, cascade.clock(),
                deadline, md5(id::text), cascade.clock()
            FROM cascade.messages
            RETURNING id
        """)
    )
    return list(ids.scalars())


def nodes(plan: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", []) for node in nodes(part))]


def rows_read(
    connection: Connection, statement: str, values: Mapping[str, object]
) -> dict[str, int]:
    """How many rows of each table the statement looks at."""
    explained = connection.execute(
        text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"), dict(values)
    ).scalar_one()
    plan = (explained if isinstance(explained, list) else json.loads(explained))[0]["Plan"]
    scans: Sequence[dict[str, Any]] = [
        node for node in nodes(plan) if "Scan" in node["Node Type"] and "Relation Name" in node
    ]
    seen: dict[str, int] = {}
    for node in scans:
        rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        name = node["Relation Name"]
        seen[name] = max(seen.get(name, 0), round(rows * node["Actual Loops"]))
    return seen
