"""The timeline of one message in words: times and states in, lines out."""

from __future__ import annotations

import datetime as dt

from collections.abc import Iterator
from dataclasses import dataclass

from cascade.cli import reasons
from cascade.cli.figures import clock, span, total
from cascade.domain.state import AttemptState, Channel, MessageState
from cascade.storage.status import AttemptStatus, MessageStatus


_STILL_TO_COME = dt.datetime.max.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that happened; `at` is None for what is still waited for."""

    at: dt.datetime | None
    channel: Channel | None
    words: str


def timeline(status: MessageStatus) -> list[Line]:
    """What was tried, what each provider said, why it moved on and what it cost, by time."""
    lines = [*_beginning(status)]
    for attempt in status.attempts:
        lines += (
            Line(at=at, channel=attempt.channel, words=words)
            for at, words in _attempt(status, attempt)
        )
    return sorted(lines, key=lambda line: line.at or _STILL_TO_COME)


def summary(status: MessageStatus) -> str:
    """How it ended, after how long, and for how much."""
    channels = len({one.channel for one in status.attempts if one.started_at is not None})
    tried = f"{channels} channel{'' if channels == 1 else 's'} called"
    return f"{_ending(status)}; {tried}; cost {total(status.cost)}"


def _beginning(status: MessageStatus) -> Iterator[Line]:
    first = status.attempts[0].channel
    words = f"accepted; {first} is first"
    if status.send_at is not None:
        words = f"accepted, to start at {clock(status.send_at)}; {first} is first"
    yield Line(at=status.created_at, channel=None, words=words)
    if status.state is MessageState.CANCELLED:
        yield Line(at=status.ended_at, channel=None, words="cancelled by its caller")


def _attempt(
    status: MessageStatus, attempt: AttemptStatus
) -> Iterator[tuple[dt.datetime | None, str]]:
    if attempt.started_at is not None:
        yield attempt.started_at, reasons.called(attempt)
    if attempt.unknown_at is not None:
        yield attempt.unknown_at, reasons.unclear(attempt)
    if attempt.sent_at is not None and _answered(attempt):
        yield attempt.sent_at, f"{attempt.account} has taken it"
    yield from _receipts(status, attempt)
    if attempt.ended_at is None:
        yield None, reasons.waiting(attempt)
    elif reasons.ended_by_us(attempt):
        yield attempt.ended_at, reasons.end(status, attempt)


def _answered(attempt: AttemptStatus) -> bool:
    """Whether the acceptance came as the answer to the call, and not with a receipt."""
    return attempt.sent_at != attempt.delivered_at and not any(
        one.status is AttemptState.SENT and one.received_at <= (attempt.sent_at or one.received_at)
        for one in attempt.receipts
    )


def _receipts(
    status: MessageStatus, attempt: AttemptStatus
) -> Iterator[tuple[dt.datetime | None, str]]:
    seen: set[AttemptState] = set()
    for receipt in attempt.receipts:
        again = ", again" if receipt.status in seen else ""
        seen.add(receipt.status)
        heard = (
            f"{reasons.native(receipt)}: {reasons.meaning(receipt.status, receipt.native_code)}"
        )
        yield receipt.received_at, heard + again + reasons.effect(status, attempt, receipt)


def _ending(status: MessageStatus) -> str:
    match status.state:
        case MessageState.IN_PROGRESS:
            return f"in progress over {status.channel}"
        case MessageState.DELIVERED:
            return _delivered(status)
        case MessageState.UNDELIVERED:
            return f"undelivered after {_lasted(status)}"
        case MessageState.CANCELLED:
            return f"cancelled after {_lasted(status)}"


def _delivered(status: MessageStatus) -> str:
    moments = (reasons.delivery_heard_at(one) for one in status.attempts)
    first = min((one for one in moments if one is not None), default=status.created_at)
    words = f"delivered over {status.channel} after {span(first - status.created_at)}"
    return words if status.success_met else f"{words}, though not read as its policy asks"


def _lasted(status: MessageStatus) -> str:
    return span((status.ended_at or status.created_at) - status.created_at)
