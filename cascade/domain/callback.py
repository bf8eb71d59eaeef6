"""One call of a caller's own task that is owed."""

from __future__ import annotations

import uuid

from dataclasses import dataclass

from cascade.domain.event import OnStatus
from cascade.domain.state import MessageState


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """An event that somebody wants to be told of; `tries` counts this try too."""

    event_id: int
    message_id: uuid.UUID
    sequence: int
    state: MessageState
    tries: int
    to: OnStatus
