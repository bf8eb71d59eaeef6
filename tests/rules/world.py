"""What the rules are tried on: the pure engine, or PostgreSQL through the real services.

A world is told what happens and can be looked at; it decides nothing that a test judges.
"""

from __future__ import annotations

import datetime as dt

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cascade.channels.base import Receipt, Result
from cascade.domain.policy import Policy
from cascade.domain.state import AttemptState, Channel, MessageState, Success
from tests.services.journey import ACCOUNTS, TTL_MINIMA, a_step


MUTE = ACCOUNTS[Channel.VIBER]  # its receipts carry its own reference only
ASKABLE = ACCOUNTS[Channel.SMS]  # it can be polled


def a_policy(*steps: tuple[Channel, int, Success, int | None]) -> Policy:
    """Steps of (channel, ttl, success, max_wait), with the minimum TTL of each provider."""
    return Policy(
        name="default",
        steps=tuple(
            a_step(
                channel,
                ttl=ttl,
                ttl_minimum=TTL_MINIMA.get(channel, 0),
                success=success,
                max_wait=max_wait,
            )
            for channel, ttl, success, max_wait in steps
        ),
    )


class Died(BaseException):
    """The process is gone; what it had not committed has not happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAttempt:
    """An attempt as anybody can read it. `facts` are the receipts that were applied to it."""

    ref: str  # ours
    step: int
    account: str
    state: AttemptState
    is_live: bool
    due_at: dt.datetime | None
    charges: int
    facts: frozenset[AttemptState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A message as anybody can read it."""

    state: MessageState
    success_met: bool
    deadline: dt.datetime
    ended_at: dt.datetime | None
    attempts: tuple[SeenAttempt, ...]

    @property
    def is_over(self) -> bool:
        """Whether nothing about it is waited for any more."""
        return self.ended_at is not None and not any(one.is_live for one in self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A claimed attempt on its way to its provider, which is given `ttl` seconds; 0 for none."""

    message: Hashable
    ref: str
    account: str
    ttl: int
    claimed: object  # the world's own


class World(Protocol):
    """Seconds throughout. Whatever takes a transaction may raise Died after `die_after`."""

    def start(self, policy: Policy) -> None:
        """Empties the world; all its messages will have this policy."""
        ...

    def submit(self, key: str, *, deadline: float, send_in: float | None) -> Hashable: ...
    def claim(self, message: Hashable) -> Call | None:
        """Claims the newest attempt, if it may be called."""
        ...

    def settle(self, call: Call, result: Result) -> None: ...
    def receive(self, account: str, *receipts: Receipt) -> None:
        """Puts receipts into the inbox."""
        ...

    def collect(self) -> None: ...
    def poll(self, answer: AttemptState) -> Sequence[str]:
        """Our references of the attempts that were asked about; the answer to each is the same."""
        ...

    def tick(self) -> None: ...
    def cancel(self, message: Hashable) -> bool: ...
    def now(self) -> dt.datetime: ...
    def wait(self, seconds: float) -> None: ...
    def die_after(self, statements: int) -> None:
        """Kills the process that acts next before one of its statements; `revive` ends that."""
        ...

    def revive(self) -> None: ...
    def look(self) -> Mapping[Hashable, Seen]: ...


def next_due(world: World) -> dt.datetime | None:
    """When the tick should look at something next."""
    seen = world.look().values()
    dues = [a.due_at for one in seen for a in one.attempts if a.due_at is not None]
    return min(dues, default=None)


def wait_until_something_is_due(world: World) -> None:
    """Some seconds at least, for the sake of speed."""
    due = next_due(world)
    if due is not None:
        world.wait(max(5.0, (due - world.now()).total_seconds() + 0.001))


def wait_until_all_is_over(
    world: World, *, within: float = 600.0, after_each: Callable[[], None] = lambda: None
) -> None:
    """Nobody claims, answers or says anything: ticks and collectors alone end every message,
    `within` seconds after now and the deadlines.
    """
    deadlines = [one.deadline for one in world.look().values()]
    begun = max(world.now(), *deadlines)
    while not all(one.is_over for one in world.look().values()):
        world.collect()
        world.tick()
        after_each()
        wait_until_something_is_due(world)
        late = (world.now() - begun).total_seconds()
        assert late <= within, "something never ends"
