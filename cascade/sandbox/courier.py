"""What all accounts share: plans what becomes of a message, lets it happen, keeps the ledger."""

from __future__ import annotations

import asyncio
import datetime as dt
import math

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cascade.sandbox.clock import Tempo
from cascade.sandbox.distribution import chance_of, draw_outcome, draw_steps
from cascade.sandbox.faults import Faults
from cascade.sandbox.ledger import Ledger, Message
from cascade.sandbox.outcomes import Channel, Outcome, outcome_of
from cascade.sandbox.timeline import Fate, Step, steps_of, withdrawn
from cascade.sandbox.weather import Forecast
from cascade.sandbox.webhooks import Webhook, Webhooks


Tell = Callable[[Message, Fate, dt.datetime], Webhook | None]

_REFUSALS = 2  # of a number that is throttled before it is served


@dataclass(frozen=True, slots=True)
class Plan:
    """`outcome` is never DRAWN for a person who is not reached."""

    outcome: Outcome
    steps: tuple[Step, ...]


class Courier:
    """Carries accepted messages; `scheduled` counts the events that are still to come."""

    def __init__(
        self,
        ledger: Ledger,
        webhooks: Webhooks,
        *,
        tempo: Tempo,
        seed: int,
        forecast: Forecast,
    ) -> None:
        self.ledger = ledger
        self.webhooks = webhooks
        self.tempo = tempo
        self.scheduled = 0
        self._seed = seed
        self._forecast = forecast
        self._refusals: Counter[tuple[str, ...]] = Counter()

    def faults_of(self, account: str) -> Faults:
        """The faults of `account`."""
        return Faults(self._forecast.at(account), seed=self._seed, account=account)

    def plan(self, account: str, channel: Channel, phone: str, *, ttl: float = math.inf) -> Plan:
        """What will become of a message to `phone`; `ttl` in seconds."""
        outcome = outcome_of(channel, phone)
        if outcome is not Outcome.DRAWN:
            reads = channel is not Channel.SMS
            return Plan(outcome, steps_of(outcome, ttl=ttl, tempo=self.tempo, reads=reads))
        dice = chance_of(self._seed, account, phone)
        outcome = draw_outcome(channel, dice)
        if outcome is not Outcome.DRAWN:
            return Plan(outcome, steps_of(outcome, ttl=ttl, tempo=self.tempo, reads=False))
        steps = draw_steps(channel, dice, self.tempo)
        return Plan(outcome, withdrawn(steps, ttl * self.tempo.second))

    def is_to_be_refused(self, *key: str) -> bool:
        """Whether a call that is the same by `key` was refused less than twice; counts this one."""
        self._refusals[key] += 1
        return self._refusals[key] <= _REFUSALS

    def accept(
        self, message: Message, steps: tuple[Step, ...], tell: Tell, faults: Faults
    ) -> None:
        """Books the acceptance and lets `steps` happen; `tell` makes a webhook of an event."""
        self.ledger.book("accepted", message, at=message.accepted_at)
        for step in steps:
            if step.told is None:
                self._later(step.happens, self._happen_and_tell, message, step, tell, faults)
            else:
                self._later(step.happens, self._happen, message, step)
                self._later(step.told, self._tell, message, step, tell, faults)

    def _later(self, seconds: float, act: Callable[..., None], *args: object) -> None:
        self.scheduled += 1
        asyncio.get_running_loop().call_later(seconds, self._now, act, *args)

    def _now(self, act: Callable[..., None], *args: object) -> None:
        self.scheduled -= 1
        act(*args)

    def _happen_and_tell(self, message: Message, step: Step, tell: Tell, faults: Faults) -> None:
        self._happen(message, step)
        self._tell(message, step, tell, faults)

    def _happen(self, message: Message, step: Step) -> None:
        if step.fate is not Fate.SENT:
            event = Fate.UNDELIVERABLE if step.fate is Fate.BLOCKED else step.fate
            self.ledger.book(event, message, at=_time_of(message, step))

    def _tell(self, message: Message, step: Step, tell: Tell, faults: Faults) -> None:
        webhook = tell(message, step.fate, _time_of(message, step))
        if webhook is None:
            return
        for _ in range(step.copies):
            self.webhooks.owe(webhook, message, word=step.fate, faults=faults)


def _time_of(message: Message, step: Step) -> dt.datetime:
    return message.accepted_at + dt.timedelta(seconds=step.happens)
