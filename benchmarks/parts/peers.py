"""The naive design on the same provider and servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.naive.run import naive
from benchmarks.part import Goal, Part, Say, Started
from benchmarks.parts.whole import ENGINE, HTTP, Whole, sampling, service


def _part(name: str, what: str, goal: Goal, whole: Whole) -> Part:
    @contextmanager
    def start(directory: Path, say: Say) -> Iterator[Started]:
        with service(whole, directory, say) as stack:
            yield Started(
                broker_url=stack.environ["CASCADE_BROKER_URL"],
                sample=sampling(whole, stack),
                baseline=partial(naive, stack, over_http=whole.has_gateway),
            )

    return Part(name=name, what=what, things="messages", goals=[goal], start=start)


def _times(goal: float, floor: float) -> Goal:
    return Goal(figure="ratio", goal=goal, floor=floor, unit="× naive")


PARTS = [
    _part("peers", "the naive design in process", _times(60, 40), ENGINE),
    _part("peers-http", "the naive design over HTTP", _times(15, 8), HTTP),
]
