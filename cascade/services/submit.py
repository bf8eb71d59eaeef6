"""Accepting messages: checked whole at the edge, then written in sets, then hinted at."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from uuid_utils.compat import uuid7

from cascade.domain.engine import first_attempt
from cascade.domain.errors import (
    CascadeError,
    IdempotencyConflictError,
    InvalidInputError,
    TryAgainError,
    shown,
)
from cascade.domain.hint import Hint
from cascade.domain.message import Content, Template, body_for
from cascade.domain.phone import normalise
from cascade.domain.policy import Policy
from cascade.domain.state import Channel, Lane
from cascade.services.deployment import Ledger
from cascade.services.sealed import seal_content, seal_recipient
from cascade.storage.database import now as database_now, transaction
from cascade.storage.policies import newest
from cascade.storage.submit import (
    KeyClaim,
    NewMessage,
    claim_keys,
    insert_messages,
    read_keys,
)


TEXT_MAXIMUM = 1000  # characters: the shortest maximum among the channels
NAME_MAXIMUM = 200  # characters of a sender or a key
DEADLINE = dt.timedelta(hours=72)  # for messages that name none

_LOCK_NOT_AVAILABLE = "55P03"

# (request hash, message id) by (sender, key).
Holders = Mapping[tuple[str, str], tuple[bytes, uuid.UUID]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One message as its caller asks for it; not checked yet."""

    to: str = field(repr=False)
    text: str = field(repr=False)
    policy: str = "default"
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    templates: Mapping[str, Template] = field(default_factory=dict, repr=False)
    sender: str = "default"
    key: str | None = None
    deadline: dt.datetime | None = None
    priority: Lane = Lane.NORMAL
    message_id: uuid.UUID | None = None  # stamped by the producer task's caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A submission that can be written."""

    asked: Submission
    phone: str = field(repr=False)
    content: Content = field(repr=False)
    message_id: uuid.UUID


def lane_of(priority: Lane | str) -> Lane:
    """The lane of that name; raises InvalidInputError."""
    try:
        return Lane(priority)
    except ValueError:
        raise InvalidInputError(
            "priority", f"{shown(priority)} is none", f"use one of {', '.join(Lane)}"
        ) from None


def check(asked: Submission) -> Checked:
    """Raises InvalidInputError, which names the field, the problem and the cure."""
    content = Content(text=asked.text, variables=asked.variables, templates=asked.templates)
    _check_characters("to", asked.to)
    _check_names(asked)
    _check_channels(asked)
    _check_content(content)
    if asked.deadline is not None and asked.deadline.tzinfo is None:
        raise InvalidInputError("deadline", "it has no time zone", "give an aware datetime")
    return Checked(
        asked=asked,
        phone=normalise(asked.to),
        content=content,
        message_id=asked.message_id or uuid7(),
    )


def submit(ledger: Ledger, submissions: Sequence[Checked]) -> list[uuid.UUID | CascadeError]:
    """Writes the messages in one transaction and publishes their hints; results by place.

    A key that was used for the same request gives the first message's id; for another request an
    IdempotencyConflictError in its place. Raises TryAgainError if a key is held by a transaction
    that does not end.
    """
    try:
        results, hints = transaction(
            ledger.engine, lambda connection: _write(connection, ledger, submissions)
        )
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE:
            raise TryAgainError(
                "key", "another caller is using it right now", "try again"
            ) from None
        raise
    ledger.publish(hints)
    return results


def _write(
    connection: Connection, ledger: Ledger, submissions: Sequence[Checked]
) -> tuple[list[uuid.UUID | CascadeError], list[Hint]]:
    now = database_now(connection)
    holders = _claim_keys(connection, ledger, submissions, now)
    results = [_result(ledger, one, holders, now) for one in submissions]
    fresh = {
        one.message_id: one
        for one, result in zip(submissions, results, strict=True)
        if result == one.message_id
    }
    rows = _rows(connection, ledger, list(fresh.values()), now)
    return results, insert_messages(connection, rows, now) if rows else []


def _claim_keys(
    connection: Connection, ledger: Ledger, submissions: Sequence[Checked], now: dt.datetime
) -> Holders:
    """Who holds the keys of `submissions`; one that is late takes none, since it is not written."""
    claims: dict[tuple[str, str], KeyClaim] = {}
    keyed = [one for one in submissions if one.asked.key is not None]
    for one in keyed:
        if not _is_late(one, now):
            claims.setdefault(_key(ledger, one.asked), _claim(ledger, one))
    if claims:
        claim_keys(connection, list(claims.values()))
    return read_keys(connection, {_key(ledger, one.asked) for one in keyed}) if keyed else {}


def _claim(ledger: Ledger, one: Checked) -> KeyClaim:
    sender, key = _key(ledger, one.asked)
    return KeyClaim(
        sender=sender,
        key=key,
        request_hash=request_hash(ledger, one.asked),
        message_id=one.message_id,
    )


def _result(
    ledger: Ledger, one: Checked, holders: Holders, now: dt.datetime
) -> uuid.UUID | CascadeError:
    held = holders.get(_key(ledger, one.asked)) if one.asked.key is not None else None
    if held is None:
        return _late() if _is_late(one, now) else one.message_id
    held_hash, message_id = held
    if held_hash != request_hash(ledger, one.asked):
        return IdempotencyConflictError(
            "key", "it was used before for another request", "use a new key for a new request"
        )
    return message_id


def _is_late(one: Checked, now: dt.datetime) -> bool:
    return one.asked.deadline is not None and one.asked.deadline <= now


def _late() -> InvalidInputError:
    return InvalidInputError("deadline", "it is over", "give a time that is still to come")


def _key(ledger: Ledger, asked: Submission) -> tuple[str, str]:
    """The sender, and what stands for its key: callers put phone numbers into keys."""
    return asked.sender, ledger.keyring.hash((asked.key or "").encode()).hex()


def request_hash(ledger: Ledger, asked: Submission) -> bytes:
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
        "deadline": None if asked.deadline is None else asked.deadline.isoformat(),
    }
    canonical = json.dumps(inputs, sort_keys=True, ensure_ascii=False)
    return ledger.keyring.hash(hashlib.sha256(canonical.encode()).digest())


def _rows(
    connection: Connection, ledger: Ledger, fresh: Sequence[Checked], now: dt.datetime
) -> list[NewMessage]:
    policies = {
        name: newest(connection, name) for name in sorted({one.asked.policy for one in fresh})
    }
    return [
        _row(ledger, one, policies[one.asked.policy], one.asked.deadline or now + DEADLINE, now)
        for one in fresh
    ]


def _row(
    ledger: Ledger,
    one: Checked,
    version: tuple[int, Policy],
    deadline: dt.datetime,
    now: dt.datetime,
) -> NewMessage:
    policy_id, policy = version
    return NewMessage(
        id=one.message_id,
        sender=one.asked.sender,
        recipient=seal_recipient(ledger.keyring, one.message_id, one.phone),
        recipient_hash=ledger.keyring.hash(one.phone.encode()),
        content=seal_content(ledger.keyring, one.message_id, one.content),
        policy_id=policy_id,
        lane=one.asked.priority,
        deadline=deadline,
        first=first_attempt(policy, deadline=deadline, send_at=None, now=now),
        ttl=policy.steps[0].ttl,
        ttl_minimum=policy.steps[0].ttl_minimum,
    )


def _check_names(asked: Submission) -> None:
    names = {"sender": asked.sender, "policy": asked.policy, "key": asked.key}
    for name, value in names.items():
        if value is None and name == "key":
            continue
        _check_characters(name, value)
        if not 0 < len(value or "") <= NAME_MAXIMUM:
            raise InvalidInputError(
                name, "it is empty or too long", f"give 1 to {NAME_MAXIMUM} characters"
            )


def _check_channels(asked: Submission) -> None:
    for name in asked.templates:
        if name not in tuple(Channel):
            raise InvalidInputError(
                f"templates[{shown(name)}]",
                "there is no such channel",
                f"use {', '.join(Channel)}",
            )


def _check_content(content: Content) -> None:
    _check_characters("text", content.text)
    if not content.text.strip():
        raise InvalidInputError("text", "it is empty", "give the words to send")
    for name, value in content.variables.items():
        _check_characters(f"variables[{name!r}]", name)
        _check_characters(f"variables[{shown(name)}]", value)
    for channel, template in content.templates.items():
        _check_template(f"templates[{channel!r}]", template)
    for channel in ("", *content.templates):
        try:
            body_for(content, channel)
        except KeyError as missing:
            raise InvalidInputError(
                f"variables[{shown(missing.args[0])}]", "it has no value", "give it one"
            ) from None
    _check_length(content)


def _check_template(field_name: str, template: Template) -> None:
    _check_characters(f"{field_name}.name", template.name)
    _check_characters(f"{field_name}.language", template.language)
    for name, value in template.parameters.items():
        _check_characters(f"{field_name}.parameters[{name!r}]", name)
        _check_characters(f"{field_name}.parameters[{name!r}]", value)


def _check_length(content: Content) -> None:
    length = len(content.words())
    if length > TEXT_MAXIMUM:
        raise InvalidInputError(
            "text",
            f"it has {length} characters once its places are filled",
            f"shorten it to {TEXT_MAXIMUM}",
        )


def _check_characters(field_name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidInputError(field_name, "it is no text", "give a str")
    if "\x00" in value:
        raise InvalidInputError(field_name, "it holds a NUL character", "remove it")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidInputError(
            field_name, "it holds half a surrogate pair", "decode it properly before sending"
        )
