"""Messages that a delivery plainly ends, in a few statements for all of them.

Plainly: the message is in progress, its policy asks for a delivery and no more, and no other attempt
of it is live. Nothing is opened then and nothing cancelled, so nothing needs to be read but that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from cascade.domain.policy import Policy
from cascade.domain.state import Success
from cascade.storage.cascades import ATTEMPTS_OF
from cascade.storage.charges import Delivered, sms_account_of
from cascade.storage.database import now
from cascade.storage.events import WRITE_EVENTS
from cascade.storage.members import CHANNELS
from cascade.storage.policies import PolicyVersions
from cascade.storage.rows import as_ids


class _Message(NamedTuple):
    """What `_HOLD_MESSAGES` finds; a row of SQLAlchemy takes ten times as long to name a column."""

    id: str
    is_open: bool
    policy_id: int
    recipient: memoryview  # sealed
    segments: int | None


# A statement of its own: one that locks messages and reads attempts would see the old snapshot.
_HOLD_MESSAGES = text("""
    SELECT CAST(id AS text), state = 'in_progress', policy_id, recipient, segments
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
    RETURNING a.id, CAST(a.message_id AS text), a.account, a.channel,
        coalesce(a.started_at, a.created_at), a.delivered_at,
        (SELECT account FROM cascade.channels WHERE channel = 'sms')
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
    messages = [_Message(*row) for row in connection.execute(_HOLD_MESSAGES, {"ids": held})]
    policies = versions.load(connection, {one.policy_id for one in messages})
    plain = {one for one, policy in policies.items() if _is_plain(policy)}
    ready = {one.id: one for one in messages if one.is_open and one.policy_id in plain}
    moment = now(connection)
    able = as_ids(one for one, message_id in delivered.items() if message_id in ready)
    values = {"ids": held, "delivered": able, "now": moment}
    rows = connection.execute(_CONCLUDE_ATTEMPTS, values).all()
    if rows:
        ended = as_ids(message_id for _, message_id, *_ in rows)
        connection.execute(_CONCLUDE_MESSAGES, {"ids": ended, "now": moment})
    through = {one: sms_account_of(policy) for one, policy in policies.items()}
    return [_delivered(row, ready, through) for row in rows]


def _is_plain(policy: Policy) -> bool:
    return all(step.success is Success.DELIVERED for step in policy.steps)


def _delivered(
    row: Sequence[Any], messages: Mapping[str, _Message], through: Mapping[int, str | None]
) -> Delivered:
    attempt_id, message_id, account, channel, started_at, delivered_at, sms_account = row
    message = messages[message_id]
    return Delivered(
        attempt_id=attempt_id,
        message_id=message_id,
        account=account,
        channel=CHANNELS[channel],
        started_at=started_at,
        delivered_at=delivered_at,
        recipient=bytes(message.recipient),
        segments=message.segments,
        sms_account=through[message.policy_id] or sms_account,
    )
