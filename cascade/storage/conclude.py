"""Messages that a delivery plainly ends, in a few statements for all of them.

Plainly: the message is in progress, its step asks for a delivery and no more, and no other attempt
of it is live. Nothing is opened then and nothing cancelled, so nothing needs to be read but that.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

from cascade.domain.state import MessageState
from cascade.storage.cascades import ATTEMPTS_OF
from cascade.storage.charges import Delivered, deliveries
from cascade.storage.database import now
from cascade.storage.events import write_events
from cascade.storage.policies import PolicyVersions
from cascade.storage.rows import as_ids


# A statement of its own: one that locks messages and reads attempts would see the old snapshot.
_HOLD_MESSAGES = text("""
    SELECT count(*) FROM (
        SELECT id FROM cascade.messages
        WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
    ) held
""")
# What `engine.hear` makes of it. Attempts are locked in id order; then it changes those that are the
# only live ones of their messages. The policy is no join: that could begin with all policies.
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
    FROM alone, cascade.messages m
    WHERE a.id = alone.id AND a.state < 'delivered'
        AND m.id = a.message_id AND m.state = 'in_progress'
        AND 'delivered' = (SELECT p.steps -> CAST(a.step AS integer) ->> 'success'
            FROM cascade.policies p WHERE p.id = m.policy_id)
    RETURNING a.id, CAST(a.message_id AS text) AS message_id, a.account, a.channel, a.delivered_at,
        coalesce(a.started_at, a.created_at) AS started_at, m.recipient, m.segments, m.policy_id,
        (SELECT account FROM cascade.channels WHERE channel = 'sms') AS sms_account
""")  # noqa: S608  # constants

_CONCLUDE_MESSAGES = text("""
    UPDATE cascade.messages SET state = 'delivered', success_met = true, ended_at = :now
    WHERE id = ANY(CAST(:ids AS uuid[]))
""")


def conclude(
    connection: Connection,
    attempt_ids: Iterable[int],
    message_ids: Iterable[str],
    versions: PolicyVersions,
) -> list[Delivered]:
    """Of these attempts, which a receipt says were delivered, writes those that plainly end their
    messages, and returns them; the others are left as they are.

    Locks `message_ids`, which are all that this transaction is going to change, and their attempts.
    """
    held = as_ids(message_ids)
    connection.execute(_HOLD_MESSAGES, {"ids": held})
    moment = now(connection)
    values = {"ids": held, "delivered": as_ids(attempt_ids), "now": moment}
    rows = connection.execute(_CONCLUDE_ATTEMPTS, values).all()
    if not rows:
        return []
    concluded = deliveries(connection, rows, versions)
    ended = [one.message_id for one in concluded]
    connection.execute(_CONCLUDE_MESSAGES, {"ids": as_ids(ended), "now": moment})
    write_events(connection, dict.fromkeys(ended, MessageState.DELIVERED), moment)
    return concluded
