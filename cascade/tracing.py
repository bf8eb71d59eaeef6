"""One message, one trace: what happened to it on its way, told after the fact.

The trace's id is the message's, so no context travels through the broker or the database and every
process adds its part by itself:

    message            accepted → ended
      step <channel>     the first call → the end of the step
        call <channel>     claimed → answered; one for each try
        receipt            came to the inbox → applied
        expiry             the time was over → noticed

Ids of steps are those of their attempts. A span is sent when its end is known, children first; a
message whose caller cancels it has no root unless tracing is started in the caller's process too.
Ends of calls are by this machine's clock, all else by the database's.

Off until `start`, which does nothing without an OTLP endpoint in the environment: each function
then returns at once. No span carries a phone number or a text.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import time
import uuid

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cascade.channels.base import Result
from cascade.domain.cascade import Attempt, Cascade
from cascade.domain.state import AttemptState, Channel
from cascade.span import Recorder, Span
from cascade.storage.claim import Claimed
from cascade.storage.inbox import Unapplied


log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SHARE = "OTEL_TRACES_SAMPLER_ARG"

Messages = Mapping[uuid.UUID, Cascade]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_RANDOM = 1 << 62  # a uuid7 ends with 62 random bits


@dataclass(frozen=True, slots=True)
class _Tracing:
    recorder: Recorder
    share: float  # of the messages that are traced, 0 to 1; every process picks the same
    begun: dict[tuple[int, int], int] = field(default_factory=dict)  # by attempt and try

    def takes(self, message_id: uuid.UUID) -> bool:
        return message_id.int % _RANDOM < self.share * _RANDOM


_tracing: _Tracing | None = None


def start() -> None:
    """Exports spans from now on, if the environment names an OTLP endpoint.

    OTEL_TRACES_SAMPLER_ARG may give the share of messages that are traced, 1 without it.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return
    try:
        from cascade.otel import Exporting  # noqa: PLC0415  # an extra that most do without
    except ImportError:
        log.warning("no traces: install cascade-delivery[tracing]")
        return
    record_to(Exporting(), share=float(os.environ.get(SHARE) or 1))


def record_to(recorder: Recorder, *, share: float = 1.0) -> None:
    """Gives spans to `recorder` from now on."""
    global _tracing  # noqa: PLW0603  # one per process, like its exporter
    _tracing = _Tracing(recorder, share)


def stop() -> None:
    """Sends what is still held, and records no more."""
    global _tracing  # noqa: PLW0603  # one per process
    if _tracing is not None:
        _tracing.recorder.close()
        _tracing = None


def is_on() -> bool:
    """Whether what happens to messages is told at all."""
    return _tracing is not None


def calling(claimed: Iterable[Claimed]) -> None:
    """The providers of these attempts are going to be called."""
    if _tracing is None:
        return
    now = time.time_ns()
    for one in claimed:
        if _tracing.takes(uuid.UUID(one.message_id)):
            _tracing.begun[one.attempt_id, one.tries] = now


def answered(channel: Channel, results: Sequence[tuple[Claimed, Result]]) -> None:
    """The calls of these attempts are over."""
    if _tracing is None:
        return
    now = time.time_ns()
    for one, result in results:
        begun = _tracing.begun.pop((one.attempt_id, one.tries), None)
        if begun is not None:
            _tracing.recorder.record(_call(channel, one, result, begun, now))


def heard(receipts: Iterable[Unapplied], messages: Messages, at: dt.datetime | None) -> None:
    """These receipts were applied at `at`; `messages` are as they stand after it."""
    if _tracing is None or at is None:
        return
    for one in receipts:
        message = messages.get(uuid.UUID(one.message_id)) if one.message_id is not None else None
        if message is None or one.attempt_id is None or not _tracing.takes(message.message_id):
            continue
        _tracing.recorder.record(_receipt(message, message.attempt(one.attempt_id), one, at))


def moved(before: Messages, after: Messages) -> None:
    """Messages have changed: tells of the steps and messages that ended."""
    if _tracing is None:
        return
    for message_id, new in after.items():
        if _tracing.takes(message_id):
            for span in _ended(before[message_id], new):
                _tracing.recorder.record(span)


def _ended(old: Cascade, new: Cascade) -> Iterable[Span]:
    live = {attempt.id for attempt in old.attempts if attempt.is_live}
    for attempt in new.attempts:
        if attempt.id in live and attempt.ended_at is not None:
            yield _step(new, attempt, attempt.ended_at)
            if attempt.state is AttemptState.EXPIRED:
                yield _expiry(new, attempt, attempt.ended_at)
    if old.ended_at is None and new.ended_at is not None:
        yield _message(new, new.ended_at)


def _message(message: Cascade, ended_at: dt.datetime) -> Span:
    end = _nanoseconds(ended_at)
    return Span(
        name="message",
        trace_id=message.message_id.int,
        id=_root(message.message_id),
        parent=None,
        start=min(_accepted(message.message_id), end),
        end=end,
        attributes={
            "cascade.state": message.state,
            "cascade.success_met": message.success_met,
            "cascade.lane": message.lane,
            "cascade.policy": message.policy.name,
        },
    )


def _step(message: Cascade, attempt: Attempt, ended_at: dt.datetime) -> Span:
    return Span(
        name=f"step {attempt.channel}",
        trace_id=message.message_id.int,
        id=attempt.id,
        parent=_root(message.message_id),
        start=_nanoseconds(attempt.started_at or ended_at),
        end=_nanoseconds(ended_at),
        attributes=_about(attempt),
    )


def _expiry(message: Cascade, attempt: Attempt, ended_at: dt.datetime) -> Span:
    return Span(
        name="expiry",
        trace_id=message.message_id.int,
        parent=attempt.id,
        start=_nanoseconds(min(attempt.expires_at, ended_at)),
        end=_nanoseconds(ended_at),
        attributes=_about(attempt),
    )


def _receipt(message: Cascade, attempt: Attempt, receipt: Unapplied, at: dt.datetime) -> Span:
    return Span(
        name="receipt",
        trace_id=message.message_id.int,
        parent=attempt.id,
        start=_nanoseconds(receipt.received_at),
        end=_nanoseconds(at),
        attributes={**_about(attempt), "cascade.receipt": receipt.status},
    )


def _call(channel: Channel, claimed: Claimed, result: Result, begun: int, now: int) -> Span:
    return Span(
        name=f"call {channel}",
        trace_id=uuid.UUID(claimed.message_id).int,
        parent=claimed.attempt_id,
        start=begun,
        end=now,
        attributes={
            "cascade.channel": channel,
            "cascade.account": claimed.account,
            "cascade.outcome": type(result).__name__.lower(),
            "cascade.code": getattr(result, "code", ""),
            "cascade.try": claimed.tries,
        },
    )


def _about(attempt: Attempt) -> dict[str, str | int | bool]:
    return {
        "cascade.channel": attempt.channel,
        "cascade.account": attempt.account,
        "cascade.state": attempt.state,
        "cascade.error": attempt.error or "",
        "cascade.step": attempt.step,
    }


def _root(message_id: uuid.UUID) -> int:
    """The second half of a uuid: never 0, and above all attempts' ids, by its variant bits."""
    return message_id.int % (1 << 64)


def _accepted(message_id: uuid.UUID) -> int:
    """A uuid7 begins with the milliseconds of its making."""
    return (message_id.int >> 80) * 1_000_000


def _nanoseconds(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1) * 1000
