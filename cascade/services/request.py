"""A submission on its way through the broker: sealed, and bound to the id its producer stamped."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import uuid

from cascade.domain.message import Template
from cascade.domain.state import Lane
from cascade.services.submit import Submission
from cascade.storage.sealing import Keyring


def seal_request(keyring: Keyring, message_id: uuid.UUID, asked: Submission) -> str:
    """The submission as base64 text that says nothing without the key."""
    fields = dataclasses.asdict(asked) | {
        "deadline": None if asked.deadline is None else asked.deadline.isoformat(),
        "message_id": None,
    }
    sealed = keyring.seal(json.dumps(fields).encode(), f"request:{message_id}")
    return base64.b64encode(sealed).decode()


def open_request(keyring: Keyring, message_id: uuid.UUID, sealed: str) -> Submission:
    """What `seal_request` was given, with the message id; raises UnsealableError, ValueError."""
    plain = keyring.open(base64.b64decode(sealed, validate=True), f"request:{message_id}")
    fields = json.loads(plain)
    deadline = fields.pop("deadline")
    return Submission(
        **{
            **fields,
            "deadline": None if deadline is None else dt.datetime.fromisoformat(deadline),
            "priority": Lane(fields["priority"]),
            "templates": {
                channel: Template(**template) for channel, template in fields["templates"].items()
            },
            "message_id": message_id,
        }
    )
