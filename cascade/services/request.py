"""A submission on its way through the broker: sealed, and bound to the id its producer stamped."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import uuid

from collections.abc import Mapping

from cascade.domain.event import OnStatus
from cascade.domain.message import Template
from cascade.domain.state import Lane
from cascade.services.submission import Submission
from cascade.storage.sealing import Keyring


def seal_request(keyring: Keyring, message_id: uuid.UUID, asked: Submission) -> str:
    """The submission as base64 text that says nothing without the key."""
    fields = {
        field.name: getattr(asked, field.name)
        for field in dataclasses.fields(asked)
        if field.name != "message_id"
    }
    sealed = keyring.seal(json.dumps(fields, default=_plain).encode(), f"request:{message_id}")
    return base64.b64encode(sealed).decode()


def open_request(keyring: Keyring, message_id: uuid.UUID, sealed: str) -> Submission:
    """What `seal_request` was given, with the message id; raises UnsealableError, ValueError."""
    plain = keyring.open(base64.b64decode(sealed, validate=True), f"request:{message_id}")
    fields = json.loads(plain) | {"message_id": message_id}
    for name in ("send_at", "deadline"):
        if fields.get(name) is not None:
            fields[name] = dt.datetime.fromisoformat(fields[name])
    if fields.get("on_status") is not None:
        fields["on_status"] = OnStatus(**fields["on_status"])
    fields["priority"] = Lane(fields["priority"])
    fields["templates"] = {
        channel: Template(**template) for channel, template in fields["templates"].items()
    }
    return Submission(**fields)


def _plain(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, OnStatus):
        return value.plain()
    if isinstance(value, Template):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no sealed form for {type(value).__name__}")
