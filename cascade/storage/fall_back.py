"""Messages whose next step plainly opens, as their current one was refused at the call.

Plainly: the message is in progress, the refused call was that of its newest attempt, none other is
live, and there is a next step with time for it. Nothing ends then but this attempt.
"""

from __future__ import annotations

import datetime as dt

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from cascade.domain.engine import Word, attempt_after
from cascade.domain.hint import Hint
from cascade.domain.policy import Policy
from cascade.storage.attempts import new_reference
from cascade.storage.cascades import ATTEMPTS_OF, LOCK_MESSAGES
from cascade.storage.database import now
from cascade.storage.members import CHANNELS, LANES
from cascade.storage.policies import PolicyVersions
from cascade.storage.rows import as_ids, as_rows


@dataclass(frozen=True, slots=True)
class FellBack:
    """The attempts that ended, and the hints of those that were opened in their places."""

    attempt_ids: frozenset[int] = frozenset()
    hints: Sequence[Hint] = ()


_HOLD_ATTEMPTS = text(f"""
    SELECT CAST(message_id AS text), id, step, state = 'sending', ended_at IS NULL
    FROM cascade.attempts
    WHERE id = ANY({ATTEMPTS_OF}) ORDER BY id FOR NO KEY UPDATE
""")  # noqa: S608  # a constant

# What `engine.hear` makes of it.
_FALL_BACK = text("""
    WITH given AS MATERIALIZED (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(refused bigint,
            refusal cascade.attempt_state, error text, message_id uuid, step smallint, channel text,
            account text, lane cascade.lane, ttl integer, ttl_minimum integer, due_at timestamptz,
            expires_at timestamptz, client_ref text)
    ), ended AS (
        UPDATE cascade.attempts a
        SET state = given.refusal, error = given.error, due_at = NULL, ended_at = :now
        FROM given WHERE a.id = given.refused
    )
    INSERT INTO cascade.attempts
        (message_id, step, channel, account, state, lane, ttl, ttl_minimum, due_at, expires_at,
         client_ref, created_at)
    SELECT message_id, step, channel, account, 'queued', lane, ttl, ttl_minimum, due_at, expires_at,
        client_ref, :now
    FROM given
    RETURNING channel, lane, id
""")


class _Attempt(NamedTuple):
    """What `_HOLD_ATTEMPTS` finds of one of a message's attempts."""

    id: int
    step: int
    is_called: bool
    is_live: bool


def fall_back(
    connection: Connection, refused: Mapping[str, Word], versions: PolicyVersions
) -> FellBack:
    """Of these words about calls, by message ids, writes those that plainly end a step and open the
    next; the others are left as they are.

    Locks the messages and their attempts.
    """
    ids = as_ids(refused)
    messages = connection.execute(LOCK_MESSAGES, {"ids": ids}).all()
    policies = versions.load(connection, (row.policy_id for row in messages))
    attempts = defaultdict(list)
    for message_id, *attempt in connection.execute(_HOLD_ATTEMPTS, {"ids": ids}).all():
        attempts[message_id].append(_Attempt(*attempt))
    moment = now(connection)
    able = (
        _row(one, attempts[one.id], refused[one.id], policies[one.policy_id], moment)
        for one in messages
    )
    rows = [row for row in able if row is not None]
    if not rows:
        return FellBack()
    written = connection.execute(_FALL_BACK, {"rows": as_rows(rows), "now": moment}).all()
    return FellBack(
        attempt_ids=frozenset(refused[str(row["message_id"])].attempt_id for row in rows),
        hints=[Hint(CHANNELS[channel], LANES[lane], new) for channel, lane, new in written],
    )


def _row(
    message: Row[Any],
    attempts: Sequence[_Attempt],
    word: Word,
    policy: Policy,
    now: dt.datetime,
) -> dict[str, object] | None:
    """The refused attempt and the one that is opened; None if that is not plain."""
    newest = max(attempts, key=lambda one: one.step)
    others = sum(one.is_live for one in attempts) - newest.is_live
    if message.state != "in_progress" or newest.id != word.attempt_id:
        return None
    if others or not (newest.is_live and newest.is_called):
        return None
    lane = LANES[message.lane]
    opened = attempt_after(policy, newest.step, lane=lane, deadline=message.deadline, now=now)
    if opened is None:
        return None
    step = policy.steps[opened.step]
    return {
        "refused": word.attempt_id,
        "refusal": word.state,
        "error": word.code,
        "message_id": message.id,
        "step": opened.step,
        "channel": opened.channel,
        "account": opened.account,
        "lane": lane,
        "ttl": step.ttl,
        "ttl_minimum": step.ttl_minimum,
        "due_at": opened.due_at,
        "expires_at": opened.expires_at,
        "client_ref": new_reference(),
    }
