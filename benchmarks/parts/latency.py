"""How long one message takes on an idle system: to the provider's socket, and from its receipt."""

from __future__ import annotations

import json
import time
import uuid

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from threading import Event

from sqlalchemy import Engine, text

from benchmarks import crowd, recount
from benchmarks.part import Goal, Part, Say, Started
from benchmarks.parts.whole import Whole, service
from benchmarks.sample import Sample, VoidError
from benchmarks.stack import BenchStack
from cascade.client import Cascade
from cascade.domain.state import Channel


MESSAGES = 100
PAUSE = 0.1  # seconds between two messages
_PATIENCE = 20.0
_WHOLE = Whole(messages=MESSAGES, channels=(Channel.OK,))

_ENDED = text("SELECT ended_at IS NOT NULL FROM cascade.messages WHERE id = :id")


@contextmanager
def _start(directory: Path, say: Say) -> Iterator[Started]:
    with service(_WHOLE, directory, say) as stack:
        client, engine = stack.client(), stack.ledger().engine
        _sample(stack, engine, client, 10)  # warm
        yield Started(
            broker_url=stack.environ["CASCADE_BROKER_URL"],
            sample=lambda: _sample(stack, engine, client, MESSAGES),
        )


def _sample(stack: BenchStack, engine: Engine, client: Cascade, count: int) -> Sample:
    recount.empty(engine)
    begun = time.monotonic()
    pairs = [_one(stack, engine, client, number) for number in range(count)]
    seconds = time.monotonic() - begun
    recount.await_books(engine, recount.Books(messages=count, unsupported=0))
    sends, receipts = zip(*pairs, strict=True)
    figures = _figures("send", sends) | _figures("receipt", receipts)
    return Sample(count=count, seconds=seconds, figures=figures)


def _one(stack: BenchStack, engine: Engine, client: Cascade, number: int) -> tuple[float, float]:
    """Milliseconds from `send` to the provider, and from there to the final state.

    The provider tells its receipt in the moment of the call.
    """
    begun = time.monotonic()
    message_id = client.send(
        to=f"+{crowd.FIRST_NUMBER + number}", text="Ваш заказ собран", policy=_WHOLE.steps
    )
    _await_end(engine, message_id)
    ended = time.monotonic()
    [called] = json.loads(stack.ask("calls"))
    Event().wait(PAUSE)
    return 1000 * (called - begun), 1000 * (ended - called)


def _await_end(engine: Engine, message_id: uuid.UUID) -> None:
    until = time.monotonic() + _PATIENCE
    connection = engine.execution_options(isolation_level="AUTOCOMMIT").connect()
    with connection:
        while not connection.execute(_ENDED, {"id": message_id}).scalar_one():
            if time.monotonic() > until:
                raise VoidError("a message did not end")
            Event().wait(0.002)


def _figures(name: str, milliseconds: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(milliseconds, n=100)
    return {f"{name}_p50": cuts[49], f"{name}_p99": cuts[98]}


def _goal(figure: str, milliseconds: float) -> Goal:
    return Goal(figure=figure, goal=milliseconds, at_least=False, unit=f"ms {figure}")


PART = Part(
    name="latency",
    what="one message on an idle system",
    things="messages",
    goals=[
        _goal("send_p50", 25),
        _goal("send_p99", 150),
        _goal("receipt_p50", 50),
        _goal("receipt_p99", 150),
    ],
    start=_start,
)
