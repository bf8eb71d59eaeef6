"""The running service of a simulation: broker, channel workers, beat, gateway, around one store."""

from __future__ import annotations

import datetime as dt
import functools

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cascade.channels.base import Adapter, HttpRequest, Item, Pending, Receipt
from cascade.channels.exchange import Ambiguous, NotSent, Outcome
from cascade.dispatch import IDS_PER_HINT
from cascade.domain.hint import Hint
from cascade.domain.state import Channel, Lane
from cascade.services.collect import collect
from cascade.services.deliver import deliver
from cascade.services.deployment import Deployment, Records
from cascade.services.inbox import new_receipts
from cascade.services.poll import poll, pollable_accounts
from cascade.services.tick import tick
from cascade.storage.sealing import Keyring
from cascade.testing.calls import ScriptedTransport
from cascade.testing.memory import MemoryStore
from cascade.testing.process import Chance, SharedStore
from cascade.testing.provider import ScriptedProvider
from cascade.testing.scheduler import Scheduler


WORKERS = 4  # processes of each channel
BEAT = dt.timedelta(seconds=1)
AHEAD = dt.timedelta(seconds=2)  # a poll asks this long before an attempt is due
RESTART = 3.0  # seconds until a dead worker is back
WEBHOOK = (0.01, 0.3)  # seconds on its way
REPEATS = (5.0, 30.0, 120.0, 600.0)  # seconds after which a provider repeats a failed webhook
LATE = 45.0  # seconds at most
FAR = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)

_RESOLUTION = dt.timedelta.resolution

Watch = Callable[[int], None]  # a call of this attempt has arrived


@dataclass(slots=True)
class _Pool:
    """The workers of a channel, and the hints that wait for one."""

    hints: deque[tuple[Lane, Sequence[int]]] = field(default_factory=deque)
    idle: int = WORKERS


class Service:
    """Every process of a deployment. What they do is the services' own code."""

    def __init__(
        self,
        scheduler: Scheduler,
        store: MemoryStore,
        chance: Chance,
        *,
        keyring: Keyring,
        calling: Watch,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._chance = chance
        self._calling = calling
        self._pools: dict[Channel, _Pool] = defaultdict(_Pool)
        self._providers: dict[str, ScriptedProvider] = {}
        self._pollable: frozenset[str] = frozenset()
        self._running: set[str] = set()  # periodic tasks
        self._beat_at = scheduler.clock.now
        self._keyring = keyring
        self.records = Records(
            store=SharedStore(store, chance),
            keyring=keyring,
            publish=self.publish,
            monotonic=scheduler.clock.monotonic,
        )

    def connect(self, providers: Mapping[str, ScriptedProvider]) -> None:
        """The accounts, by name."""
        self._providers = dict(providers)
        self._pollable = pollable_accounts(self._deployment())

    def publish(self, hints: Iterable[Hint]) -> int:
        """The broker: it may lose, repeat and delay what it is given."""
        groups: dict[tuple[Channel, Lane], list[int]] = defaultdict(list)
        for hint in hints:
            groups[hint.channel, hint.lane].append(hint.attempt_id)
        if not groups:
            return 0
        self._chance.point()  # after the commit, before the hint
        for (channel, lane), ids in groups.items():
            for start in range(0, len(ids), IDS_PER_HINT):
                self._carry(channel, lane, ids[start : start + IDS_PER_HINT])
        return sum(map(len, groups.values()))

    def _carry(self, channel: Channel, lane: Lane, ids: Sequence[int]) -> None:
        if self._chance.strikes("lost_hint"):
            return
        copies = 2 if self._chance.strikes("repeated_hint") else 1
        for _ in range(copies):
            pause = 60.0 if self._chance.strikes("late_hint") else 0.01
            pause *= self._scheduler.rng.random()
            self._scheduler.after(pause, functools.partial(self._hint, channel, lane, ids))

    def _hint(self, channel: Channel, lane: Lane, ids: Sequence[int]) -> None:
        self._pools[channel].hints.append((lane, ids))
        self._employ(channel)

    def _employ(self, channel: Channel) -> None:
        pool = self._pools[channel]
        if pool.idle and pool.hints:
            pool.idle -= 1
            lane, ids = pool.hints.popleft()
            self._scheduler.start(functools.partial(self._work, channel, lane, ids))

    def _work(self, channel: Channel, lane: Lane, ids: Sequence[int]) -> None:
        died = True
        try:
            deliver(self._deployment(), channel, lane, ids, clock=self._scheduler.clock.monotonic)
            died = False
        finally:
            pause = RESTART if died else 0.0
            self._scheduler.after(pause, functools.partial(self._free, channel))

    def _free(self, channel: Channel) -> None:
        self._pools[channel].idle += 1
        self._employ(channel)

    def _deployment(self) -> Deployment:
        """A process of its own: what it has under way dies with it."""
        adapters: Mapping[str, Adapter] = self._providers
        return Deployment(
            ledger=self.records,
            adapters=adapters,
            transport=ScriptedTransport(self._scheduler, self._called),
            poll_transport=ScriptedTransport(self._scheduler, self._asked),
            jitter=self._scheduler.rng.random,
        )

    def _called(self, request: HttpRequest[Item]) -> Outcome:
        chance = self._chance
        if chance.strikes("refused"):
            return NotSent("refused")
        if chance.strikes("vanished"):
            return Ambiguous("deadline")
        account = self._account(request.items[0])
        for item in request.items:
            self._calling(item.attempt_id)
        provider = self._providers[account]
        if chance.strikes("throttled"):
            return provider.throttle(request)
        return provider.take(request, is_answered=not chance.strikes("unanswered"))

    def _account(self, item: Item | Pending) -> str:
        return self._store.tables.attempts[item.attempt_id].account

    def _asked(self, request: HttpRequest[Pending]) -> Outcome:
        if self._chance.strikes("unanswered"):
            return Ambiguous("deadline")
        return self._providers[self._account(request.items[0])].look_up(request)

    def tell(self, account: str, receipt: Receipt) -> None:
        """A provider's webhook on its way to the gateway."""
        if self._chance.strikes("lost_webhook"):
            return
        copies = 2 if self._chance.strikes("repeated_webhook") else 1
        for _ in range(copies):
            pause = self._scheduler.rng.uniform(*WEBHOOK)
            if self._chance.strikes("late_webhook"):
                pause += LATE * self._scheduler.rng.random()
            self._scheduler.after(pause, functools.partial(self._webhook, account, receipt, 0))

    def _webhook(self, account: str, receipt: Receipt, tries: int) -> None:
        if tries < len(REPEATS) and self._chance.strikes("failed_webhook"):
            again = functools.partial(self._webhook, account, receipt, tries + 1)
            self._scheduler.after(REPEATS[tries], again)
            return
        new = new_receipts(self._keyring, account, [receipt], b"{}")
        self._store.transaction(lambda transaction: transaction.store_receipts(new))

    def step(self, until: dt.datetime = FAR) -> bool:
        """Lets the next things happen, none of them after `until`: the events before a beat that
        finds something due, and that beat. False if nothing is left to happen by then.
        """
        self._happen(min(self._beat_at + BEAT, until + _RESOLUTION))
        next_at, beat_at = self._scheduler.next_at, self._next_beat()
        if beat_at is not None and beat_at <= until and (next_at is None or beat_at <= next_at):
            self._beat(beat_at)
            return True
        if next_at is None or next_at > until:
            return False
        self._happen(next_at + _RESOLUTION)
        return True

    def _happen(self, horizon: dt.datetime) -> None:
        self._scheduler.horizon = horizon
        self._scheduler.run()

    def _next_beat(self) -> dt.datetime | None:
        """Beats that would find nothing are left out."""
        due_at = self._store.due_at()
        if due_at is None:
            return None
        late = max(dt.timedelta(0), due_at - AHEAD - self._beat_at)
        return self._beat_at + max(BEAT, -(-late // BEAT) * BEAT)

    def _beat(self, moment: dt.datetime) -> None:
        clock = self._scheduler.clock
        clock.now = max(clock.now, moment)
        if moment > self._beat_at + BEAT and "tick" not in self._running:
            self._store.ticked_until(moment - BEAT)
        self._beat_at = moment
        self._periodic("tick", lambda: tick(self.records, self._pollable))
        self._periodic("collect", lambda: collect(self.records))
        self._periodic("poll", lambda: poll(self._deployment()))

    def _periodic(self, name: str, work: Callable[[], object]) -> None:
        """One process each: while it works, or is dead, the next beat's task waits in vain."""
        copies = 2 if self._chance.strikes("second_beat") else 1
        if name in self._running:
            return
        self._running.add(name)

        def run() -> None:
            died = True
            try:
                for _ in range(copies):
                    work()
                died = False
            finally:
                pause = RESTART if died else 0.0
                self._scheduler.after(pause, lambda: self._running.discard(name))

        self._scheduler.start(run)
