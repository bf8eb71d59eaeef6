"""What was accepted is kept, and comes to an end in time."""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterator

from chaos.checker.evidence import Evidence


PATIENCE = dt.timedelta(seconds=90)  # beyond a message's deadline


def lost(evidence: Evidence) -> Iterator[str]:
    """Accepted messages without a row, and messages without any attempt."""
    messages = evidence.tables.messages
    for message_id in dict.fromkeys(one.message_id for one in evidence.accepted):
        if message_id not in messages:
            yield f"message {message_id}: accepted, and no row"
    attempted = {one.message_id for one in evidence.tables.attempts.values()}
    for message_id in messages:
        if message_id not in attempted:
            yield f"message {message_id}: no attempt"


def stuck(evidence: Evidence) -> Iterator[str]:
    """Messages that are not final, or became so too late."""
    for message in evidence.tables.messages.values():
        latest = message.deadline + PATIENCE
        if message.state == "in_progress" or message.first_ended_at is None:
            yield f"message {message.id}: still in progress"
        elif message.first_ended_at > latest:
            late = message.first_ended_at - latest
            yield f"message {message.id}: final {late.total_seconds():.1f} s too late"


def unjournalled(evidence: Evidence) -> Iterator[str]:
    """Messages that no caller knows of: an unfinished call, or a key that was accepted twice."""
    known = {one.message_id for one in evidence.accepted}
    for message_id in evidence.tables.messages:
        if message_id not in known:
            yield f"message {message_id}"
