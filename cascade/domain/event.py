"""What happens to messages after they are accepted, and whom the caller wants to be told."""

from __future__ import annotations

import datetime as dt
import uuid

from dataclasses import dataclass

from cascade.domain.state import MessageState


@dataclass(frozen=True, slots=True)
class OnStatus:
    """A task of the caller's own Celery app that is called at each change of a message's state.

    `broker` is a name of CASCADE_CALLBACK_BROKERS, since an address would be a secret. The task
    is given `message_id` (text), `state` and `sequence` (from 1), by name; at least once each, and
    in order per message.
    """

    task: str
    queue: str
    broker: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of a message's state; `cursor` says where to go on reading."""

    message_id: uuid.UUID
    sequence: int  # from 1, per message
    state: MessageState
    happened_at: dt.datetime
    cursor: str
