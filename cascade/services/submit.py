"""Accepting messages: written in sets with their first attempts, then hinted at."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat

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
from cascade.domain.message import words_for
from cascade.domain.policy import Policy, check_inline_time, inline_policy
from cascade.domain.segments import segments
from cascade.domain.state import Channel
from cascade.services.deployment import Records, seconds
from cascade.services.sealed import seal_content, seal_recipient
from cascade.services.submission import Checked, Submission
from cascade.storage.database import error_code
from cascade.storage.store import Transaction
from cascade.storage.submit import KeyClaim, NewMessage, Terms


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
        inline = keep_inline(ledger, [one.shared for one in submissions])
        results, hints = ledger.store.transaction(
            lambda transaction: accept(transaction, ledger, submissions, inline)
        )
    ledger.publish(hints)
    return results


def keep_inline(ledger: Records, asked: Iterable[Submission]) -> Versions:
    """The policies that were written in Python, kept in a short transaction of their own: nobody
    who uses the same one waits for a caller's.
    """
    inline = {id(one.policy): one for one in asked if not isinstance(one.policy, str)}
    wanted = {_spelled(one): one.policy for one in inline.values()}
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
    terms = _terms(submissions, known, now)
    claims = [_claim(ledger, one) for one in submissions]
    holders = _claim_keys(transaction, claims, terms)
    results = list(map(_result, submissions, terms, claims, repeat(holders)))
    # The same id twice is the same producer task twice.
    fresh = {
        one.message_id: _row(ledger, one, its)
        for one, its, result in zip(submissions, terms, results, strict=True)
        if isinstance(its, Terms) and result == one.message_id
    }
    hints = transaction.insert_messages(list(fresh.values()), now) if fresh else []
    return results, hints


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
    policies = {id(one.shared): one.shared.policy for one in submissions}.values()
    names = {policy for policy in policies if isinstance(policy, str)}
    return {name: _newest(transaction, name) for name in sorted(names)}


def _endpoints(transaction: Transaction, submissions: Sequence[Checked]) -> frozenset[str]:
    """Those that there are; nobody asks where no message names one."""
    if all(_endpoint(one.shared) is None for one in submissions):
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


def _terms(
    submissions: Iterable[Checked], known: Known, now: dt.datetime
) -> list[Terms | CascadeError]:
    """What each is sent under, or why it cannot be written; found once for all that are alike."""
    found: dict[tuple[int, dt.datetime | None], Terms | CascadeError] = {}
    by_place = []
    for one in submissions:
        alike = id(one.shared), one.send_at
        if alike not in found:
            found[alike] = _terms_of(one.shared, one.send_at, known, now)
        by_place.append(found[alike])
    return by_place


def _terms_of(
    shared: Submission, send_at: dt.datetime | None, known: Known, now: dt.datetime
) -> Terms | CascadeError:
    version = known.versions[_spelled(shared)]
    if isinstance(version, CascadeError):
        return version
    policy_id, policy = version
    start = now if send_at is None else max(send_at, now)
    deadline = shared.deadline or start + seconds(policy.deadline)
    if refusal := _unheard(shared, known) or _untimely(
        shared, policy, start=start, deadline=deadline, now=now
    ):
        return refusal
    later = start if start > now else None
    return Terms(
        sender=shared.sender,
        policy_id=policy_id,
        lane=shared.priority,
        deadline=deadline,
        send_at=later,
        on_status=shared.on_status,
        first=first_attempt(
            policy, lane=shared.priority, deadline=deadline, send_at=later, now=now
        ),
        ttl=policy.steps[0].ttl,
        ttl_minimum=policy.steps[0].ttl_minimum,
    )


def _unheard(shared: Submission, known: Known) -> ConfigurationError | None:
    """Why nobody can be told of it."""
    endpoint = _endpoint(shared)
    if endpoint is None or endpoint in known.endpoints:
        return None
    return ConfigurationError(
        "on_status.endpoint",
        f"no endpoint {shown(endpoint)} is in the database",
        "add it to endpoints.toml and run `cascade policies sync`",
    )


def _untimely(
    shared: Submission,
    policy: Policy,
    *,
    start: dt.datetime,
    deadline: dt.datetime,
    now: dt.datetime,
) -> InvalidInputError | None:
    """Why there is no time for it."""
    if deadline <= now:
        return InvalidInputError("deadline", "it is over", "give a time that is still to come")
    if not isinstance(shared.policy, str):
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


def _claim(ledger: Records, one: Checked) -> KeyClaim | None:
    """The key it names, if any: hashed, since callers put phone numbers into keys."""
    if one.key is None:
        return None
    return KeyClaim(
        sender=one.shared.sender,
        key=ledger.keyring.hash(one.key.encode()).hex(),
        request_hash=request_hash(ledger, one),
        message_id=one.message_id,
    )


def _claim_keys(
    transaction: Transaction,
    claims: Iterable[KeyClaim | None],
    terms: Iterable[Terms | CascadeError],
) -> Holders:
    """Who holds the keys; what is refused takes none: it is not written."""
    keyed = [(one, its) for one, its in zip(claims, terms, strict=True) if one is not None]
    wanted: dict[tuple[str, str], KeyClaim] = {}
    for one, its in keyed:
        if isinstance(its, Terms):
            wanted.setdefault((one.sender, one.key), one)
    if wanted:
        transaction.claim_keys(list(wanted.values()))
    return transaction.read_keys({(one.sender, one.key) for one, _ in keyed}) if keyed else {}


def _result(
    one: Checked, terms: Terms | CascadeError, claim: KeyClaim | None, holders: Holders
) -> uuid.UUID | CascadeError:
    held = None if claim is None else holders.get((claim.sender, claim.key))
    if claim is None or held is None:
        if isinstance(terms, ConfigurationError):
            raise terms  # all who name this policy or endpoint share it
        return terms if isinstance(terms, CascadeError) else one.message_id
    held_hash, message_id = held
    if held_hash != claim.request_hash:
        return IdempotencyConflictError(
            "key", "it was used before for another request", "use a new key for a new request"
        )
    return message_id


def request_hash(ledger: Records, one: Checked) -> bytes:
    """A keyed hash over what the caller asked for, under a key that does not rotate."""
    shared = one.shared
    inputs = {
        "to": one.to,
        "text": shared.text,
        "policy": shared.policy,
        "variables": dict(one.content.variables),
        "templates": {
            channel: [template.name, template.language, dict(template.parameters)]
            for channel, template in shared.templates.items()
        },
        "priority": shared.priority,
        "deadline": _instant(shared.deadline),
        **_newer_inputs(one),
    }
    canonical = json.dumps(inputs, sort_keys=True, ensure_ascii=False, default=dict)
    return ledger.keyring.hash(hashlib.sha256(canonical.encode()).digest())


def _newer_inputs(one: Checked) -> dict[str, object]:
    """Words that came later, only where they are used: a key outlives an upgrade."""
    told = one.shared.on_status
    words: dict[str, object] = {
        "texts": dict(one.shared.texts),
        "language": one.language,
        "send_at": _instant(one.send_at),
        "on_status": None if told is None else told.plain(),
    }
    return {name: word for name, word in words.items() if word}


def _instant(moment: dt.datetime | None) -> str | None:
    """The same for the same moment, in whichever time zone it is given."""
    return None if moment is None else moment.astimezone(dt.UTC).isoformat()


def _row(ledger: Records, one: Checked, terms: Terms) -> NewMessage:
    return NewMessage(
        id=one.message_id,
        recipient=seal_recipient(ledger.keyring, one.message_id, one.phone),
        recipient_hash=ledger.keyring.hash(one.phone.encode()),
        content=_content(ledger, one),
        segments=_segments(one),
        terms=terms,
    )


def _segments(one: Checked) -> int | None:
    """SMS that carry its words: counted here, where they are at hand, and not when it is charged."""
    try:
        return segments(words_for(one.content, Channel.SMS))
    except (KeyError, ValueError):  # it is for those who price it to say that nobody can
        return None


def _content(ledger: Records, one: Checked) -> bytes:
    """Sealed; with the caller's key only where that is to be told: keys hold numbers, too."""
    key = None if _endpoint(one.shared) is None else one.key
    return seal_content(ledger.keyring, one.message_id, one.content, key=key)
