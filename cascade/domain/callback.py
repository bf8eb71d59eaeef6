"""What is owed to callers: a call of a task, or a webhook, for one event."""

from __future__ import annotations

import datetime as dt
import uuid

from dataclasses import dataclass, field

from cascade.domain.event import OnStatus
from cascade.domain.state import Channel, MessageState


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """An event that somebody wants to be told of; `tries` counts this try too."""

    event_id: int
    message_id: uuid.UUID
    sequence: int
    state: MessageState
    tries: int

    @property
    def id(self) -> str:
        """The same for a repeat, so that it can be told from news."""
        return str(uuid.uuid5(self.message_id, str(self.sequence)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback(Owed):
    """It is told by a call of the caller's task."""

    to: OnStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Owed):
    """It is told by HTTP, with more about the message, as that is now."""

    endpoint: str
    happened_at: dt.datetime
    success_met: bool
    channel: Channel | None  # the one that delivered
    content: bytes = field(repr=False)  # sealed; the caller's key is in it
    posted_at: dt.datetime  # the shared time of this try
