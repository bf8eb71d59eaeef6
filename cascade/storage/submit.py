"""New messages with their first attempts, and the keys that keep a repeat from being a second."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from cascade.domain.cascade import Attempt
from cascade.domain.event import OnStatus
from cascade.domain.hint import Hint
from cascade.domain.state import Channel, Lane
from cascade.storage.attempts import new_reference
from cascade.storage.database import CLOCK
from cascade.storage.rows import as_rows


KEY_LIFETIME = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """What a message is sent under. Messages that share it share the object itself: a set of them
    writes it down once.
    """

    sender: str
    policy_id: int
    lane: Lane
    deadline: dt.datetime
    send_at: dt.datetime | None  # None: at once
    on_status: OnStatus | None
    first: Attempt
    ttl: int  # seconds, of the first step
    ttl_minimum: int  # seconds, of the first step's provider


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A checked message, ready to be written; recipient and content are sealed."""

    id: uuid.UUID
    recipient: bytes
    recipient_hash: bytes
    content: bytes
    segments: int | None  # SMS that carry its words; None if nobody can tell
    terms: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyClaim:
    """A caller's key for one request."""

    sender: str
    key: str
    request_hash: bytes
    message_id: uuid.UUID


# An expired key is taken over; a living one is left to the first who used it. Rows are sorted by
# the caller: two sets of the same keys in opposite order would deadlock.
_CLAIM_KEYS = text(f"""
    WITH clock AS MATERIALIZED (SELECT {CLOCK} AS now)
    INSERT INTO cascade.idempotency_keys AS k (sender, key, request_hash, message_id, expires_at)
    SELECT r.sender, r.key, r.request_hash, r.message_id, clock.now + CAST(:lifetime AS interval)
    FROM clock, json_to_recordset(CAST(:rows AS json))
        AS r(sender text, key text, request_hash bytea, message_id uuid)
    ON CONFLICT (sender, key) DO UPDATE
        SET request_hash = excluded.request_hash, message_id = excluded.message_id,
            expires_at = excluded.expires_at
        WHERE k.expires_at <= {CLOCK}
    RETURNING sender, key
""")  # noqa: S608  # a constant

_READ_KEYS = text("""
    SELECT k.sender, k.key, k.request_hash, k.message_id
    FROM json_to_recordset(CAST(:rows AS json)) AS r(sender text, key text)
    JOIN cascade.idempotency_keys k ON k.sender = r.sender AND k.key = r.key
""")

# A message whose id is there already is left as it is, and opens no attempt.
_INSERT = text("""
    WITH terms AS MATERIALIZED (
        SELECT * FROM json_to_recordset(CAST(:terms AS json)) AS t(terms integer, sender text,
            policy_id bigint, lane cascade.lane, deadline timestamptz, send_at timestamptz,
            on_status jsonb, step smallint, channel text, account text,
            state cascade.attempt_state, ttl integer, ttl_minimum integer, due_at timestamptz,
            expires_at timestamptz)
    ), given AS MATERIALIZED (
        SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS r(id uuid, recipient bytea,
            recipient_hash bytea, content bytea, segments smallint, client_ref text,
            terms integer)
    ), written AS (
        INSERT INTO cascade.messages
            (id, sender, recipient, recipient_hash, content, policy_id, lane, state, deadline,
             created_at, send_at, on_status, segments)
        SELECT id, sender, recipient, recipient_hash, content, policy_id, lane, 'in_progress',
            deadline, :now, send_at, on_status, segments
        FROM given JOIN terms USING (terms)
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    ), opened AS (
        INSERT INTO cascade.attempts
            (message_id, step, channel, account, state, lane, ttl, ttl_minimum, due_at,
             expires_at, client_ref, created_at)
        SELECT id, step, channel, account, state, lane, ttl, ttl_minimum, due_at, expires_at,
            client_ref, :now
        FROM written JOIN given USING (id) JOIN terms USING (terms)
        RETURNING id, channel, lane, state
    )
    SELECT channel, lane, array_agg(id ORDER BY id) FROM opened WHERE state = 'queued'
    GROUP BY channel, lane
""")


def claim_keys(connection: Connection, claims: Sequence[KeyClaim]) -> None:
    """Takes the keys that are free or expired; those that others hold stay theirs.

    Waits for a concurrent holder's commit, at most `lock_timeout`.
    """
    rows = as_rows(
        {
            "sender": claim.sender,
            "key": claim.key,
            "request_hash": claim.request_hash,
            "message_id": claim.message_id,
        }
        for claim in sorted(claims, key=lambda claim: (claim.sender, claim.key))
    )
    connection.execute(_CLAIM_KEYS, {"rows": rows, "lifetime": KEY_LIFETIME})


def read_keys(
    connection: Connection, keys: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str], tuple[bytes, uuid.UUID]]:
    """Who holds each key now: (request hash, message id) by (sender, key), if anybody does."""
    rows = as_rows({"sender": sender, "key": key} for sender, key in keys)
    held = connection.execute(_READ_KEYS, {"rows": rows})
    return {(row.sender, row.key): (bytes(row.request_hash), row.message_id) for row in held}


def insert_messages(
    connection: Connection, messages: Sequence[NewMessage], now: dt.datetime
) -> list[Hint]:
    """Writes the messages and their first attempts; the hints to publish after the commit.

    A message whose id is there already is left as it is: its producer task came twice.
    """
    places = {one.terms: place for place, one in enumerate(messages)}
    rows = as_rows(
        {
            "id": message.id,
            "recipient": message.recipient,
            "recipient_hash": message.recipient_hash,
            "content": message.content,
            "segments": message.segments,
            "client_ref": new_reference(),
            "terms": places[message.terms],
        }
        for message in messages
    )
    terms = as_rows(_row(one, place) for one, place in places.items())
    queued = connection.execute(_INSERT, {"rows": rows, "terms": terms, "now": now})
    return [hint for channel, lane, ids in queued for hint in _hints(channel, lane, ids)]


def _hints(channel: str, lane: str, attempt_ids: Iterable[int]) -> list[Hint]:
    known, its_lane = Channel(channel), Lane(lane)
    return [Hint(known, its_lane, attempt_id) for attempt_id in attempt_ids]


def _row(terms: Terms, place: int) -> dict[str, object]:
    first, told = terms.first, terms.on_status
    return {
        "terms": place,
        "sender": terms.sender,
        "policy_id": terms.policy_id,
        "lane": terms.lane,
        "deadline": terms.deadline,
        "send_at": terms.send_at,
        "on_status": None if told is None else told.plain(),
        "step": first.step,
        "channel": first.channel,
        "account": first.account,
        "state": first.state,
        "ttl": terms.ttl,
        "ttl_minimum": terms.ttl_minimum,
        "due_at": first.due_at,
        "expires_at": first.expires_at,
    }
