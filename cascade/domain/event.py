"""What happens to messages after they are accepted, and whom the caller wants to be told."""

from __future__ import annotations

import datetime as dt
import uuid

from dataclasses import KW_ONLY, dataclass

from cascade.domain.state import MessageState


@dataclass(frozen=True, slots=True)
class OnStatus:
    """Who is told of each change of a message's state: a task of the caller's own Celery app, or
    an endpoint that hears a signed HTTP webhook. At least once each, and in order per message.

    `broker` is a name of CASCADE_CALLBACK_BROKERS, since an address would be a secret. The task
    is given `message_id` (text), `state` and `sequence` (from 1), by name. `endpoint` is a name
    of `endpoints.toml`.
    """

    task: str = ""
    queue: str = ""
    broker: str = "default"
    _: KW_ONLY
    endpoint: str | None = None

    def plain(self) -> dict[str, str]:
        """What is stored and sealed of it; `OnStatus(**plain)` is the same again."""
        if self.endpoint is not None:
            return {"endpoint": self.endpoint}
        return {"task": self.task, "queue": self.queue, "broker": self.broker}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of a message's state; `cursor` says where to go on reading."""

    message_id: uuid.UUID
    sequence: int  # from 1, per message
    state: MessageState
    happened_at: dt.datetime
    cursor: str
