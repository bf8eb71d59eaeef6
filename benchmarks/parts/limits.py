"""A provider's 50 calls a second, as five workers keep to them."""

from __future__ import annotations

import json
import time

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event

from benchmarks import crowd, recount
from benchmarks.part import Goal, Part, Say, Started
from benchmarks.sample import Sample, VoidError
from benchmarks.stack import BenchStack, running, small
from cascade.dispatch import COLLECT, ENQUEUE, POLL, SYNC, TICK, lane_queue
from cascade.domain.policy import PolicyStep
from cascade.domain.state import Channel, Lane


RATE = 50  # calls a second
MINUTE = 60  # seconds
WORKERS = 5
MESSAGES = RATE * (MINUTE + 30)
_RUN_IN = 5.0  # seconds after the first call, which comes with a second's credit
_MINUTES = 10  # seconds within which the minutes begin that are looked at
_STEPS: list[PolicyStep] = [{"channel": "ok", "ttl": "1h"}]
_QUEUES = [lane_queue(Channel.OK, lane) for lane in Lane]


def _settings(_provider_url: str) -> Mapping[str, str]:
    return {"CASCADE_NOTIFY_OK_RATE": f"{RATE}/s"}


@contextmanager
def _start(directory: Path, say: Say) -> Iterator[Started]:
    stack = small(
        directory,
        workers={
            **{f"ok-{number}": (_QUEUES, 1) for number in range(WORKERS)},
            "collector": ([COLLECT, ENQUEUE, SYNC, POLL], 1),
            "tick": ([TICK], 1),
        },
        settings=_settings,
    )
    with running(stack, lambda: stack.start(say)):
        yield Started(
            broker_url=stack.environ["CASCADE_BROKER_URL"], sample=lambda: _sample(stack)
        )


def _sample(stack: BenchStack) -> Sample:
    engine = stack.ledger().engine
    recount.empty(engine)
    stack.ask("calls")  # those of an earlier run
    stack.client().send_many(
        crowd.rows(MESSAGES), text=crowd.TEXT, policy=_STEPS, priority=Lane.BULK
    )
    calls = _calls(stack)
    all_of_them = recount.Books(messages=MESSAGES, unsupported=0)
    recount.await_books(engine, all_of_them, patience=MINUTE)
    more = len(json.loads(stack.ask("calls")))
    if len(calls) + more != MESSAGES:
        raise VoidError(f"{len(calls) + more} calls for {MESSAGES} messages")
    starts = [calls[0] + _RUN_IN + shift / 10 for shift in range(10 * _MINUTES)]
    minutes = [_between(calls, start, start + MINUTE) for start in starts]
    worst = max(_between(calls, one, one + 1) for one in calls)
    # A tick's calls come together: one minute has a tick more than another.
    count = median(minutes)
    figures = {
        "off": abs(count / (RATE * MINUTE) - 1),
        "worst_minute": max(minutes) / (RATE * MINUTE),
        "worst_second": worst / RATE,
    }
    return Sample(count=round(count), seconds=MINUTE, figures=figures)


def _calls(stack: BenchStack) -> list[float]:
    """The moments of all calls, in order, once they fill all minutes."""
    calls: list[float] = []
    patience = time.monotonic() + 2 * MINUTE
    while not calls or calls[-1] < calls[0] + _RUN_IN + _MINUTES + MINUTE:
        if time.monotonic() > patience:
            raise VoidError("the calls do not fill a minute")
        stack.check()
        Event().wait(1)
        calls += json.loads(stack.ask("calls"))
        calls.sort()
    return calls


def _between(calls: Sequence[float], since: float, until: float) -> int:
    return bisect_left(calls, until) - bisect_left(calls, since)


PART = Part(
    name="limits",
    what="a limit of 50 a second, kept by five workers for a minute",
    things="calls",
    goals=[Goal(figure="off", goal=0.02, at_least=False, unit="of the rate")],
    start=_start,
    runs=1,
)
