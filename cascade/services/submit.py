"""Accepting messages: written in sets with their first attempts, then hinted at."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError

from cascade.domain.engine import first_attempt, has_time
from cascade.domain.errors import (
    CascadeError,
    ConfigurationError,
    IdempotencyConflictError,
    InvalidInputError,
    TryAgainError,
    shown,
)
from cascade.domain.hint import Hint
from cascade.domain.policy import Policy, check_inline_time, inline_policy
from cascade.services.deployment import Records, seconds
from cascade.services.sealed import seal_content, seal_recipient
from cascade.services.submission import Checked, Submission
from cascade.storage.database import error_code
from cascade.storage.store import Transaction
from cascade.storage.submit import KeyClaim, NewMessage


CLOCK_TOLERANCE = 5  # seconds: a caller's deadline comes from its own clock, a moment ago

_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"

# (request hash, message id) by (sender, key).
Holders = Mapping[tuple[str, str], tuple[bytes, uuid.UUID]]

# A policy's id and the policy, or why there is none, by what was asked for.
Versions = Mapping[str, tuple[int, Policy] | CascadeError]


@dataclass(frozen=True, slots=True)
class Known:
    """What messages may name, as the database knows it."""

    versions: Versions
    endpoints: frozenset[str]


def submit(ledger: Records, submissions: Sequence[Checked]) -> list[uuid.UUID | CascadeError]:
    """Writes the messages in one transaction and publishes their hints; results by place.

    A key that was used for the same request gives the first message's id, whatever has changed
    since; for another request an IdempotencyConflictError in its place. Raises TryAgainError if a
    key is held by a transaction that does not end, ConfigurationError for a policy or an
    endpoint that is not there.
    """
    with keys_are_waited_for():
        inline = keep_inline(ledger, [one.asked for one in submissions])
        results, hints = ledger.store.transaction(
            lambda transaction: accept(transaction, ledger, submissions, inline)
        )
    ledger.publish(hints)
    return results


def keep_inline(ledger: Records, asked: Iterable[Submission]) -> Versions:
    """The policies that were written in Python, kept in a short transaction of their own: nobody
    who uses the same one waits for a caller's.
    """
    wanted = {_spelled(one): one.policy for one in asked if not isinstance(one.policy, str)}
    if not wanted:
        return {}
    return ledger.store.transaction(
        lambda transaction: {one: _inline(transaction, wanted[one]) for one in sorted(wanted)}
    )


def accept(
    transaction: Transaction, ledger: Records, submissions: Sequence[Checked], inline: Versions
) -> tuple[list[uuid.UUID | CascadeError], list[Hint]]:
    """What `submit` does, in this transaction; the hints are to be published after it."""
    now = transaction.now()
    versions = {**inline, **_named(transaction, submissions)}
    known = Known(versions, _endpoints(transaction, submissions))
    holders = _claim_keys(transaction, ledger, submissions, known, now)
    results = [_result(ledger, one, holders, known, now) for one in submissions]
    fresh = [
        one for one, result in zip(submissions, results, strict=True) if result == one.message_id
    ]
    # The same id twice is the same producer task twice.
    unique = {one.message_id: one for one in fresh}.values()
    rows = [_row(ledger, one, versions[_spelled(one.asked)], now) for one in unique]
    return results, transaction.insert_messages(rows, now) if rows else []


@contextmanager
def keys_are_waited_for() -> Iterator[None]:
    """Turns the end of the database's patience, and a deadlock, into TryAgainError."""
    try:
        yield
    except OperationalError as error:
        if error_code(error) in {_LOCK_NOT_AVAILABLE, _DEADLOCK}:
            raise TryAgainError(
                "key", "another caller is using it right now", "try again"
            ) from None
        raise


def _named(transaction: Transaction, submissions: Sequence[Checked]) -> Versions:
    names = {one.asked.policy for one in submissions if isinstance(one.asked.policy, str)}
    return {name: _newest(transaction, name) for name in sorted(names)}


def _endpoints(transaction: Transaction, submissions: Sequence[Checked]) -> frozenset[str]:
    """Those that there are; nobody asks where no message names one."""
    if all(_endpoint(one.asked) is None for one in submissions):
        return frozenset()
    return transaction.endpoint_names()


def _endpoint(asked: Submission) -> str | None:
    return None if asked.on_status is None else asked.on_status.endpoint


def _newest(transaction: Transaction, name: str) -> tuple[int, Policy] | CascadeError:
    try:
        return transaction.newest_policy(name)
    except ConfigurationError as error:
        return error


def _inline(transaction: Transaction, steps: object) -> tuple[int, Policy] | CascadeError:
    try:
        policy = inline_policy(steps, transaction.channel_facts())
        return transaction.keep_policy(policy), policy
    except CascadeError as error:
        return error


def _spelled(asked: Submission) -> str:
    """What stands for a policy: its name, or what an inline one says."""
    if isinstance(asked.policy, str):
        return asked.policy
    return json.dumps(asked.policy, sort_keys=True, default=dict)


def _claim_keys(
    transaction: Transaction,
    ledger: Records,
    submissions: Sequence[Checked],
    known: Known,
    now: dt.datetime,
) -> Holders:
    """Who holds the keys of `submissions`; one that is refused takes none: it is not written."""
    claims: dict[tuple[str, str], KeyClaim] = {}
    keyed = [one for one in submissions if one.asked.key is not None]
    for one in keyed:
        if _refusal(one.asked, known, now) is None:
            claims.setdefault(_key(ledger, one.asked), _claim(ledger, one))
    if claims:
        transaction.claim_keys(list(claims.values()))
    return transaction.read_keys({_key(ledger, one.asked) for one in keyed}) if keyed else {}


def _claim(ledger: Records, one: Checked) -> KeyClaim:
    sender, key = _key(ledger, one.asked)
    return KeyClaim(
        sender=sender,
        key=key,
        request_hash=request_hash(ledger, one.asked),
        message_id=one.message_id,
    )


def _result(
    ledger: Records, one: Checked, holders: Holders, known: Known, now: dt.datetime
) -> uuid.UUID | CascadeError:
    held = holders.get(_key(ledger, one.asked)) if one.asked.key is not None else None
    if held is None:
        refusal = _refusal(one.asked, known, now)
        if isinstance(refusal, ConfigurationError):
            raise refusal  # all who name this policy or endpoint share it
        return refusal or one.message_id
    held_hash, message_id = held
    if held_hash != request_hash(ledger, one.asked):
        return IdempotencyConflictError(
            "key", "it was used before for another request", "use a new key for a new request"
        )
    return message_id


def _refusal(asked: Submission, known: Known, now: dt.datetime) -> CascadeError | None:
    """Why the message cannot be written: it has no policy, no time, or nobody to tell."""
    version = known.versions[_spelled(asked)]
    if isinstance(version, CascadeError):
        return version
    endpoint = _endpoint(asked)
    if endpoint is not None and endpoint not in known.endpoints:
        return ConfigurationError(
            "on_status.endpoint",
            f"no endpoint {shown(endpoint)} is in the database",
            "add it to endpoints.toml and run `cascade policies sync`",
        )
    _, policy = version
    start = _start(asked, now)
    deadline = asked.deadline or start + seconds(policy.deadline)
    if deadline <= now:
        return InvalidInputError("deadline", "it is over", "give a time that is still to come")
    if not isinstance(asked.policy, str):
        return _too_long(policy, deadline - start)
    if any(has_time(step, deadline, start) for step in policy.steps):
        return None
    return InvalidInputError(
        "deadline", "no provider of the policy takes so short a time", "give a later one"
    )


def _too_long(policy: Policy, window: dt.timedelta) -> InvalidInputError | None:
    try:
        check_inline_time(policy, round(window.total_seconds()), tolerance=CLOCK_TOLERANCE)
    except InvalidInputError as error:
        return error
    return None


def _start(asked: Submission, now: dt.datetime) -> dt.datetime:
    return now if asked.send_at is None else max(asked.send_at, now)


def _key(ledger: Records, asked: Submission) -> tuple[str, str]:
    """The sender, and what stands for its key: callers put phone numbers into keys."""
    return asked.sender, ledger.keyring.hash((asked.key or "").encode()).hex()


def request_hash(ledger: Records, asked: Submission) -> bytes:
    """A keyed hash over what the caller asked for, under a key that does not rotate."""
    inputs = {
        "to": asked.to,
        "text": asked.text,
        "policy": asked.policy,
        "variables": dict(asked.variables),
        "templates": {
            channel: [template.name, template.language, dict(template.parameters)]
            for channel, template in asked.templates.items()
        },
        "priority": asked.priority,
        "deadline": _instant(asked.deadline),
        **_newer_inputs(asked),
    }
    canonical = json.dumps(inputs, sort_keys=True, ensure_ascii=False, default=dict)
    return ledger.keyring.hash(hashlib.sha256(canonical.encode()).digest())


def _newer_inputs(asked: Submission) -> dict[str, object]:
    """Words that came later, only where they are used: a key outlives an upgrade."""
    words: dict[str, object] = {
        "texts": dict(asked.texts),
        "language": asked.language,
        "send_at": _instant(asked.send_at),
        "on_status": None if asked.on_status is None else asked.on_status.plain(),
    }
    return {name: word for name, word in words.items() if word}


def _instant(moment: dt.datetime | None) -> str | None:
    """The same for the same moment, in whichever time zone it is given."""
    return None if moment is None else moment.astimezone(dt.UTC).isoformat()


def _row(
    ledger: Records, one: Checked, version: tuple[int, Policy] | CascadeError, now: dt.datetime
) -> NewMessage:
    assert not isinstance(version, CascadeError)  # noqa: S101  # then it was refused
    policy_id, policy = version
    asked, start = one.asked, _start(one.asked, now)
    deadline = asked.deadline or start + seconds(policy.deadline)
    send_at = asked.send_at if start > now else None
    return NewMessage(
        id=one.message_id,
        sender=asked.sender,
        recipient=seal_recipient(ledger.keyring, one.message_id, one.phone),
        recipient_hash=ledger.keyring.hash(one.phone.encode()),
        content=_content(ledger, one),
        policy_id=policy_id,
        lane=asked.priority,
        deadline=deadline,
        send_at=send_at,
        on_status=asked.on_status,
        first=first_attempt(policy, deadline=deadline, send_at=send_at, now=now),
        ttl=policy.steps[0].ttl,
        ttl_minimum=policy.steps[0].ttl_minimum,
    )


def _content(ledger: Records, one: Checked) -> bytes:
    """Sealed; with the caller's key only where that is to be told: keys hold numbers, too."""
    key = None if _endpoint(one.asked) is None else one.asked.key
    return seal_content(ledger.keyring, one.message_id, one.content, key=key)
