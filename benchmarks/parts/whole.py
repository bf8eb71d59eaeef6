"""Messages end to end: in process, over HTTP, with a slow provider, in bulk."""

from __future__ import annotations

import time

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from benchmarks import crowd, recount
from benchmarks.bulk.devino import settings
from benchmarks.looks import await_count
from benchmarks.part import Goal, Part, Say, Started, cpu, ratio
from benchmarks.processes import Meter
from benchmarks.sample import Sample, VoidError
from benchmarks.stack import BenchStack, Settings, no_settings, running, small
from cascade.client import Cascade
from cascade.dispatch import COLLECT, ENQUEUE, POLL, SYNC, TICK, lane_queue
from cascade.domain.policy import PolicyStep
from cascade.domain.state import Channel, Lane


PATIENCE = 300.0  # seconds for one run


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What goes through: `messages` by `steps`, with this much of a service."""

    messages: int
    warm: int = 500  # messages before the first run
    app: str = "workers.app"
    has_gateway: bool = True
    channels: Sequence[Channel] = (Channel.VK, Channel.OK)
    children: int = 1  # of each channel's worker
    provider: Sequence[str] = ()
    gateway: str = "cascade.gateway"
    settings: Settings = no_settings

    @property
    def steps(self) -> list[PolicyStep]:
        """The policy."""
        return [{"channel": channel.value, "ttl": "10m"} for channel in self.channels]


@contextmanager
def service(whole: Whole, directory: Path, say: Callable[[str], None]) -> Iterator[BenchStack]:
    """The processes that it takes."""
    workers: dict[str, tuple[list[str], int]] = {
        str(channel): ([lane_queue(channel, lane) for lane in Lane], whole.children)
        for channel in whole.channels
    }
    workers["collector"] = ([COLLECT, ENQUEUE, SYNC, POLL], 2)
    workers["tick"] = ([TICK], 1)
    stack = small(
        directory,
        workers=workers,
        app=whole.app,
        has_gateway=whole.has_gateway,
        provider=whole.provider,
        gateway=whole.gateway,
        settings=whole.settings,
    )
    with running(stack, lambda: stack.start(say)):
        yield stack


def sampling(whole: Whole, stack: BenchStack) -> Callable[[], Sample]:
    """What takes one sample, after a run to warm up."""
    ledger, client = stack.ledger(), stack.client()

    def run(count: int) -> Sample:
        recount.empty(ledger.engine)
        sample = _through(whole, stack, ledger.engine, client, count)
        books = recount.Books(messages=count, unsupported=crowd.not_users(count))
        recount.await_books(ledger.engine, books)
        return sample

    run(whole.warm)
    return lambda: run(whole.messages)


def _through(
    whole: Whole, stack: BenchStack, engine: Engine, client: Cascade, count: int
) -> Sample:
    """From the first row until all messages have ended."""
    meter, provider = Meter.start(stack.groups()), stack.provider_cpu()
    begun = time.monotonic()
    report = client.send_many(crowd.rows(count), text=crowd.TEXT, policy=whole.steps)
    if report.errors:
        raise VoidError(str(report.errors[0].error))
    # A message ends as it is charged: to count charges is far less work for the database.
    await_count(partial(recount.charged, engine), count, check=stack.check, patience=PATIENCE)
    return Sample(
        count=count,
        seconds=time.monotonic() - begun,
        cpu=meter.read(),
        provider=1000 * (stack.provider_cpu() - provider) / count,
    )


def part(name: str, what: str, goals: Sequence[Goal], whole: Whole) -> Part:
    """A part that takes messages through `whole`."""

    @contextmanager
    def start(directory: Path, say: Say) -> Iterator[Started]:
        with service(whole, directory, say) as stack:
            yield Started(
                broker_url=stack.environ["CASCADE_BROKER_URL"], sample=sampling(whole, stack)
            )

    return Part(name=name, what=what, things="messages", goals=goals, start=start)


_OVER_HTTP = ("--first", "notify-vk")
_SLOW = ("--latency", "0.1", "--jitter", "0.05")


def _event_loop(_provider_url: str) -> Mapping[str, str]:
    """The transport for volume, with a whole hint in flight."""
    return {"CASCADE_TRANSPORT": "event_loop", "CASCADE_FLIGHT": "512"}


# As many children as empty tasks have.
ENGINE = Whole(
    messages=20_000,
    warm=1000,
    app="benchmarks.in_process_app",
    has_gateway=False,
    children=2,
)
HTTP = Whole(messages=20_000, warm=1000, provider=_OVER_HTTP, settings=_event_loop)

PARTS = [
    part(
        "engine",
        "messages end to end, providers in the process",
        [ratio(10, 7), cpu(0.15, 0.20)],
        ENGINE,
    ),
    part(
        "http",
        "the same over HTTP, one message a call, on an event loop with 512 in flight",
        [ratio(2.5, 1.9), cpu(0.40, 0.50)],
        HTTP,
    ),
    part(
        "slow",
        "the same, the provider answers after 100 ± 50 ms",
        [ratio(1.8, 1.2)],
        replace(HTTP, provider=(*_OVER_HTTP, *_SLOW)),
    ),
    part(
        "bulk",
        "the same, 100 messages a call",
        [ratio(5, 4)],
        Whole(
            messages=20_000,
            warm=1000,
            app="benchmarks.bulk.app",
            gateway="benchmarks.bulk.gateway",
            channels=(Channel.VIBER, Channel.OK),
            provider=("--first", "devino-viber"),
            settings=settings,
        ),
    ),
]
