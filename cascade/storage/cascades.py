"""Messages under lock: read whole, decided upon, and written back as the difference."""

from __future__ import annotations

import datetime as dt
import uuid

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, text

from cascade.domain.cascade import Attempt, Cascade
from cascade.domain.hint import Hint
from cascade.domain.policy import Policy
from cascade.domain.state import Lane
from cascade.storage.attempts import insert_attempts, update_attempts
from cascade.storage.events import write_events
from cascade.storage.members import ATTEMPT_STATES, CHANNELS, LANES, MESSAGE_STATES
from cascade.storage.policies import PolicyVersions
from cascade.storage.rows import as_ids, as_rows


# A statement of its own: one that locks and reads attempts in one would see the old snapshot.
_MESSAGES = """
    SELECT CAST(id AS text) AS id, lane, policy_id, deadline, state,
        success_met, ended_at FROM cascade.messages
    WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
"""
LOCK_MESSAGES = text(_MESSAGES)
_SKIP = text(_MESSAGES + " SKIP LOCKED")

# One look into the index for each message, whatever the statistics say: for `message_id = ANY(…)` a
# planner that knows nothing of the table reads all of it. Their messages are locked, so none comes.
ATTEMPTS_OF = """ARRAY(
            SELECT a.id FROM unnest(CAST(:ids AS uuid[])) AS one(id)
            CROSS JOIN LATERAL (
                SELECT b.id FROM cascade.attempts b WHERE b.message_id = one.id OFFSET 0
            ) a)"""
_LOCK_ATTEMPTS = text(f"""
    SELECT id, CAST(message_id AS text) AS message_id, step, channel, account, state, expires_at,
        due_at, started_at, sent_at, delivered_at, read_at, ended_at, error
    FROM cascade.attempts
    WHERE id = ANY({ATTEMPTS_OF}) ORDER BY id FOR NO KEY UPDATE
""")  # noqa: S608  # constants

_UPDATE_MESSAGES = text("""
    UPDATE cascade.messages m
    SET state = r.state, success_met = r.success_met, ended_at = r.ended_at
    FROM json_to_recordset(CAST(:rows AS json)) AS r(id uuid, state cascade.message_state,
        success_met boolean, ended_at timestamptz)
    WHERE m.id = r.id
""")


def lock(
    connection: Connection,
    message_ids: Iterable[uuid.UUID],
    versions: PolicyVersions,
    *,
    skip_locked: bool = False,
) -> dict[uuid.UUID, Cascade]:
    """Locks messages, then their attempts, each in id order, and returns them by message id.

    With `skip_locked`, messages that another transaction holds are left out.
    """
    ids = {str(one): one for one in message_ids}  # that rows name them by: making UUIDs costs more
    statement = _SKIP if skip_locked else LOCK_MESSAGES
    messages = connection.execute(statement, {"ids": as_ids(ids)}).all()
    policies = versions.load(connection, (row.policy_id for row in messages))
    attempts = defaultdict(list)
    locked = connection.execute(_LOCK_ATTEMPTS, {"ids": as_ids(row.id for row in messages)})
    for row in locked.all():
        attempts[row.message_id].append(_attempt(row))
    return {
        ids[row.id]: _cascade(ids[row.id], row, policies[row.policy_id], attempts[row.id])
        for row in messages
    }


def write(
    connection: Connection,
    before: Mapping[uuid.UUID, Cascade],
    after: Mapping[uuid.UUID, Cascade],
    now: dt.datetime,
) -> list[Hint]:
    """Writes what differs between the two, and an event for each message whose state has changed.

    Returns hints for the steps that were opened.
    """
    changed, opened, ended = [], [], []
    turned = {}  # new states of messages
    for message_id, new in after.items():
        old = before[message_id]
        if new is old:
            continue
        pairs = zip(old.attempts, new.attempts, strict=False)
        changed += [attempt for known, attempt in pairs if attempt is not known]
        opened += [(new, attempt) for attempt in new.attempts[len(old.attempts) :]]
        if (new.state, new.success_met) != (old.state, old.success_met):
            ended.append(new)
        if new.state is not old.state:
            turned[str(message_id)] = new.state
    update_attempts(connection, sorted(changed, key=lambda attempt: attempt.id or 0))
    _update_messages(connection, ended)
    write_events(connection, turned, now)
    return insert_attempts(connection, [_opening(new, attempt) for new, attempt in opened], now)


def _opening(cascade: Cascade, attempt: Attempt) -> tuple[uuid.UUID, Lane, Attempt, int, int]:
    step = cascade.step_of(attempt)
    return cascade.message_id, cascade.lane, attempt, step.ttl, step.ttl_minimum


def _update_messages(connection: Connection, ended: list[Cascade]) -> None:
    rows = as_rows(
        {
            "id": cascade.message_id,
            "state": cascade.state,
            "success_met": cascade.success_met,
            "ended_at": cascade.ended_at,
        }
        for cascade in ended
    )
    if ended:
        connection.execute(_UPDATE_MESSAGES, {"rows": rows})


def _cascade(
    message_id: uuid.UUID, row: Row[Any], policy: Policy, attempts: list[Attempt]
) -> Cascade:
    return Cascade(
        message_id=message_id,
        lane=LANES[row.lane],
        policy=policy,
        deadline=row.deadline,
        state=MESSAGE_STATES[row.state],
        success_met=row.success_met,
        ended_at=row.ended_at,
        attempts=tuple(sorted(attempts, key=lambda attempt: attempt.step)),
    )


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        id=row.id,
        step=row.step,
        channel=CHANNELS[row.channel],
        account=row.account,
        state=ATTEMPT_STATES[row.state],
        expires_at=row.expires_at,
        due_at=row.due_at,
        started_at=row.started_at,
        sent_at=row.sent_at,
        delivered_at=row.delivered_at,
        read_at=row.read_at,
        ended_at=row.ended_at,
        error=row.error,
    )
