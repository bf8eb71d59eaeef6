"""The whole service in one process, on virtual time: for the tests of policies, and of Cascade."""

from __future__ import annotations

import datetime as dt
import random
import uuid

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cascade.domain.errors import CascadeError
from cascade.domain.message import Content
from cascade.domain.policy import PolicyStep
from cascade.domain.state import Channel, Lane
from cascade.services.cancel import cancel
from cascade.services.submission import Checked, Submission, check
from cascade.services.submit import submit
from cascade.testing.clock import VirtualClock
from cascade.testing.configuration import PolicySteps, configured, rates_of
from cascade.testing.faults import CALM, Faults
from cascade.testing.judge import Judge
from cascade.testing.keys import OpenKeyring
from cascade.testing.memory import MemoryStore
from cascade.testing.outcome import Outcome, outcome_of
from cascade.testing.people import phone_of
from cascade.testing.process import Chance
from cascade.testing.provider import Script, ScriptedProvider
from cascade.testing.reaction import Reaction, delivered
from cascade.testing.scheduler import Scheduler
from cascade.testing.service import FAR, Service
from cascade.testing.simulated_message import SimulatedMessage
from cascade.testing.trace import Trace


AT_ONCE = 1000  # messages of a campaign in one transaction


class Simulation:
    """A deployment that lives in a test. The same seed and the same calls give the same trace.

    Providers deliver after two seconds unless `react` or `people` say otherwise. Not for use from
    several threads; takes the extra `embedded`.
    """

    def __init__(
        self,
        config: Path | PolicySteps,
        *,
        seed: int = 0,
        prices: Mapping[str, str] | None = None,
        faults: Faults = CALM,
        trace: Callable[[str], object] | None = None,
    ) -> None:
        """`config`: a directory with `policies.toml`, `providers.toml` and `rates.csv`; or policies
        by name, each a list of steps, with `prices` in roubles by channel. `trace` is given each
        line of what happens. Raises ConfigurationError.
        """
        given = configured(config)
        rates = [*given.rates, *rates_of(prices or {}, given.capabilities)]
        self.clock = VirtualClock()
        self._rng = random.Random(seed)  # noqa: S311  # no secret
        self._people: Script = lambda _phone, _channel: delivered()
        self._reactions: dict[tuple[str | None, str], Reaction] = {}
        self._trace = Trace(self.clock, trace)
        self._judge = Judge(self.clock, self._trace)
        self._store = MemoryStore(
            self.clock,
            policies=given.policies,
            channels=given.channels,
            rates=rates,
            watch=self._judge.watch,
        )
        self._scheduler = Scheduler(self.clock, self._rng)
        self._chance = Chance(self._scheduler, faults)
        self._service = Service(
            self._scheduler,
            self._store,
            self._chance,
            keyring=OpenKeyring(),
            calling=lambda one: self._judge.calling(self._store.tables, one),
        )
        self._providers = [
            ScriptedProvider(
                account=account,
                channel=channel,
                capabilities=able,
                scheduler=self._scheduler,
                script=self._script,
                tell=self._service.tell,
            )
            for account, (channel, able) in given.capabilities.items()
        ]
        self._service.connect({one.account: one for one in self._providers})

    def react(self, channel: str, reaction: Reaction, *, to: str | None = None) -> None:
        """How the channel's provider reacts from now on: to messages for this phone (E.164), or
        for all that have no reaction of their own.
        """
        self._reactions[to, Channel(channel)] = reaction

    def people(self, script: Script) -> None:
        """What happens to everybody whom no `react` is about, such as a `Reach`."""
        self._people = script

    def send(self, to: str, text: str, **words: Any) -> SimulatedMessage:
        """Accepts a message, checked as `Cascade.send` does, with the same words; raises what that
        raises. Nothing happens to it before `run`.
        """
        asked = Submission(to=to, text=text, message_id=self._new_id(), **words)
        [message_id] = self._submit([check(asked)])
        return SimulatedMessage(self._store.tables, message_id)

    def campaign(
        self,
        count: int,
        *,
        text: str = "Ваш заказ собран",
        policy: str | Sequence[PolicyStep] = "default",
        priority: Lane = Lane.BULK,
        first: int = 0,
    ) -> None:
        """Accepts a message to each of `count` imagined people, from number `first` on."""
        shared = Submission(to="", text=text, policy=policy, priority=priority)
        for start in range(first, first + count, AT_ONCE):
            places = range(start, min(start + AT_ONCE, first + count))
            self._submit([self._to_person(one, shared, Content(text=text)) for one in places])

    def cancel(self, message: SimulatedMessage) -> bool:
        """Whether it is cancelled now."""
        return cancel(self._service.records, message.id)

    def run(self, seconds: float | None = None) -> Outcome:
        """Lets so many virtual seconds pass; without a number, until nothing is left to happen."""
        until = FAR if seconds is None else self.clock.now + dt.timedelta(seconds=seconds)
        while self._service.step(until):
            pass
        if seconds is not None:
            self.clock.now = max(self.clock.now, until)
        return self._outcome(is_over=seconds is None)

    def later(self, seconds: float, work: Callable[[], object]) -> None:
        """Calls `work` so many seconds from now, while `run` runs."""
        self._scheduler.after(seconds, work)

    @property
    def digest(self) -> str:
        """Stands for the whole trace."""
        return self._trace.digest

    def _outcome(self, *, is_over: bool) -> Outcome:
        judge = self._judge.verdict(self._store.tables, self._providers, is_over=is_over)
        return outcome_of(
            self._store.tables,
            simulated=self.clock.now - self.clock.start,
            faults=self._chance.happened,
            broken=judge.findings,
            findings=judge.told,
        )

    def _script(self, phone: str, channel: Channel) -> Reaction:
        own = self._reactions.get((phone, channel))
        return own or self._reactions.get((None, channel)) or self._people(phone, channel)

    def _submit(self, checked: Sequence[Checked]) -> list[uuid.UUID]:
        accepted = []
        for result in submit(self._service.records, checked):
            if isinstance(result, CascadeError):
                raise result
            self._judge.accepted(result)
            accepted.append(result)
        return accepted

    def _to_person(self, place: int, shared: Submission, content: Content) -> Checked:
        phone = phone_of(place)
        # Such a number needs no check: it is half of what accepting costs.
        return Checked(
            shared=shared,
            to=phone,
            phone=phone,
            content=content,
            language=None,
            key=None,
            send_at=None,
            message_id=self._new_id(),
        )

    def _new_id(self) -> uuid.UUID:
        """A uuid7 of the virtual time."""
        milliseconds = int(self.clock.now.timestamp() * 1000)
        low, high = self._rng.getrandbits(62), self._rng.getrandbits(12)
        return uuid.UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low)
