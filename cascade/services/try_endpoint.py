"""Calling one endpoint from here with a webhook that is about no message."""

from __future__ import annotations

import datetime as dt
import uuid

from dataclasses import replace

from cascade.callbacks.body import trial_body
from cascade.callbacks.endpoints import Endpoints
from cascade.callbacks.poster import DEADLINE, Posted, Poster
from cascade.domain.callback import Webhook
from cascade.domain.errors import InvalidInputError, shown
from cascade.domain.state import MessageState


def try_endpoint(endpoints: Endpoints, name: str, now: dt.datetime) -> Posted:
    """What became of it, within 15 s; nothing is written down. Raises InvalidInputError."""
    if name not in endpoints.by_name:
        known = ", ".join(endpoints.by_name) or "none"
        raise InvalidInputError(
            "NAME", f"endpoints.toml has no endpoint {shown(name)}", f"it has: {known}"
        )
    poster = Poster(replace(endpoints, by_name={name: endpoints.by_name[name]}))
    try:
        poster.post(_about_nothing(name, now), trial_body(now))
        [posted] = poster.collect(2 * DEADLINE)
        return posted
    finally:
        poster.close()


def _about_nothing(name: str, now: dt.datetime) -> Webhook:
    return Webhook(
        event_id=0,
        message_id=uuid.uuid4(),
        sequence=0,
        state=MessageState.IN_PROGRESS,
        tries=1,
        endpoint=name,
        happened_at=now,
        success_met=False,
        channel=None,
        content=b"",
        posted_at=now,
    )
