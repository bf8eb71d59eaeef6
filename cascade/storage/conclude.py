"""Messages that a delivery plainly ends, in a few statements for all of them.

Plainly: the message is in progress, its policy asks for a delivery and no more, and no other attempt
of it is live. Nothing is opened then and nothing cancelled, so nothing needs to be read but that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.domain.policy import Policy
from cascade.domain.state import Success
from cascade.storage.cascades import ATTEMPTS_OF
from cascade.storage.charges import Delivered, sms_account_of
from cascade.storage.database import now
from cascade.storage.events import WRITE_EVENTS
from cascade.storage.members import CHANNELS
from cascade.storage.policies import PolicyVersions
from cascade.storage.rows import as_ids


# A statement of its own: one that locks messages and reads attempts would see the old snapshot.
_HOLD_MESSAGES = text("""
    SELECT CAST(id AS text) AS id, state = 'in_progress' AS is_open, policy_id, recipient, segments
    FROM cascade.messages
    WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
""")
# What `engine.hear` makes of it. Attempts are locked in id order; then it changes those that are the
# only live ones of their messages.
_CONCLUDE_ATTEMPTS = text(f"""
    WITH held AS MATERIALIZED (
        SELECT id, message_id, ended_at FROM cascade.attempts
        WHERE id = ANY({ATTEMPTS_OF}) ORDER BY id FOR NO KEY UPDATE
    ),
    alone AS MATERIALIZED (
        SELECT min(id) AS id FROM held WHERE ended_at IS NULL
        GROUP BY message_id
        HAVING count(*) = 1 AND min(id) = ANY(CAST(:delivered AS bigint[]))
    )
    UPDATE cascade.attempts a
    SET state = 'delivered', error = NULL, sent_at = coalesce(a.sent_at, :now),
        delivered_at = :now, ended_at = :now, due_at = NULL
    FROM alone
    WHERE a.id = alone.id AND a.state < 'delivered'
    RETURNING a.id, CAST(a.message_id AS text) AS message_id, a.account, a.channel,
        coalesce(a.started_at, a.created_at) AS started_at, a.delivered_at,
        (SELECT account FROM cascade.channels WHERE channel = 'sms') AS sms_account
""")  # noqa: S608  # a constant

_CONCLUDE_MESSAGES = text(f"""
    WITH turned AS (
        UPDATE cascade.messages SET state = 'delivered', success_met = true, ended_at = :now
        WHERE id = ANY(CAST(:ids AS uuid[]))
        RETURNING id, state, on_status
    )
    {WRITE_EVENTS}
""")  # noqa: S608  # a constant


def conclude(
    connection: Connection,
    delivered: Mapping[int, str],
    message_ids: Collection[str],
    versions: PolicyVersions,
) -> list[Delivered]:
    """Of these attempts (message ids by attempt ids), which a receipt says were delivered, writes
    those that plainly end their messages, and returns them; the others are left as they are.

    Locks `message_ids`, which are all that this transaction is going to change, and their attempts.
    """
    held = as_ids(message_ids)
    messages = connection.execute(_HOLD_MESSAGES, {"ids": held}).all()
    policies = versions.load(connection, {row.policy_id for row in messages})
    plain = {one for one, policy in policies.items() if _is_plain(policy)}
    ready = {row.id: row for row in messages if row.is_open and row.policy_id in plain}
    moment = now(connection)
    able = as_ids(one for one, message_id in delivered.items() if message_id in ready)
    values = {"ids": held, "delivered": able, "now": moment}
    rows = connection.execute(_CONCLUDE_ATTEMPTS, values).all()
    if rows:
        ended = as_ids(row.message_id for row in rows)
        connection.execute(_CONCLUDE_MESSAGES, {"ids": ended, "now": moment})
    through = {one: sms_account_of(policy) for one, policy in policies.items()}
    return [_delivered(row, ready[row.message_id], through) for row in rows]


def _is_plain(policy: Policy) -> bool:
    return all(step.success is Success.DELIVERED for step in policy.steps)


def _delivered(row: Row[Any], message: Row[Any], through: Mapping[int, str | None]) -> Delivered:
    return Delivered(
        attempt_id=row.id,
        message_id=row.message_id,
        account=row.account,
        channel=CHANNELS[row.channel],
        started_at=row.started_at,
        delivered_at=row.delivered_at,
        recipient=bytes(message.recipient),
        segments=message.segments,
        sms_account=through[message.policy_id] or row.sms_account,
    )
