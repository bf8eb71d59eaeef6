"""The reference model: what must be true of messages, written without a look at the engine.

It keeps a diary: per attempt the highest fact that was told, and every call that a provider really
got, by our reference; per message who was delivered in time and whether its caller gave it up. All
laws follow from the diary and from two looks at the same message.
"""

from __future__ import annotations

import datetime as dt

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from cascade.domain.policy import Policy
from cascade.domain.state import AttemptState as S, MessageState, Success
from tests.rules.world import Call, Seen, SeenAttempt


LATE_WINDOW = dt.timedelta(hours=72)
TOLD = {S.SENT, S.UNSUPPORTED, S.REJECTED, S.UNDELIVERABLE, S.DELIVERED, S.READ}
IN_THE_AIR = {S.SENDING, S.UNKNOWN, S.SENT, S.DELIVERED}
STEPS_DOWN = {(S.SENDING, S.RETRY), (S.RETRY, S.QUEUED)}
ORDER = list(S)


def highest(states: set[S]) -> S | None:
    """By the order of the lattice."""
    return max(states, key=ORDER.index, default=None)


@dataclass(slots=True)
class Diary:
    """What really happened to one attempt."""

    told: set[S] = field(default_factory=set)  # by answers and by receipts
    calls: list[str] = field(default_factory=list)  # "open", "unsent" or "ambiguous"
    until: dt.datetime | None = None  # the provider that took it may deliver it so long


@dataclass(slots=True)
class Reference:
    """Raises AssertionError at the first look that breaks a law."""

    policy: Policy
    diaries: dict[str, Diary] = field(default_factory=lambda: defaultdict(Diary))
    given_up: set[Hashable] = field(default_factory=set)  # by their callers
    delivered_in_time: set[Hashable] = field(default_factory=set)
    met_in_time: set[Hashable] = field(default_factory=set)
    last: dict[Hashable, Seen] = field(default_factory=dict)

    def called(self, call: Call, seen: Seen, now: dt.datetime) -> None:
        """A provider is about to be called: the intent is committed, and it is the only call."""
        attempt = next(one for one in seen.attempts if one.ref == call.ref)
        diary = self.diaries[call.ref]
        assert attempt.state is S.SENDING, "a call without a committed intent"
        assert seen.state is MessageState.IN_PROGRESS, "a call for a message that is over"
        assert now < seen.deadline, "a call after the deadline"
        assert set(diary.calls) <= {"unsent"}, "a second call after an ambiguous one"
        assert not diary.told, "a call after the provider has spoken"
        diary.calls.append("open")

    def taken(self, call: Call, now: dt.datetime) -> None:
        """The provider has it, whether or not we ever hear so."""
        self.diaries[call.ref].calls[-1] = "ambiguous"
        if call.ttl:
            self.diaries[call.ref].until = now + dt.timedelta(seconds=call.ttl)

    def unsent(self, call: Call) -> None:
        """The provider does not have it, and we know."""
        self.diaries[call.ref].calls[-1] = "unsent"

    def told(self, ref: str, state: S) -> None:
        """An answer of the provider was settled."""
        self.diaries[ref].told.add(state)

    def look(self, world: Mapping[Hashable, Seen], now: dt.datetime) -> None:
        """All laws, after each step."""
        for message, seen in world.items():
            before = self.last.get(message)
            self._read(message, seen, now)
            for attempt in seen.attempts:
                self._check_attempt(attempt)
            self._check_steps(seen)
            self._check_end(message, seen)
            if before is not None:
                self._check_change(message, before, seen, now)
        assert set(self.last) <= set(world), "a message was lost"
        self.last = dict(world)

    def _read(self, message: Hashable, seen: Seen, now: dt.datetime) -> None:
        """Facts come with receipts; whether they are in time depends on when they are applied."""
        in_time = seen.ended_at is None or now <= seen.ended_at + LATE_WINDOW
        for attempt in seen.attempts:
            told = self.diaries[attempt.ref].told
            told |= attempt.facts
            before = self._before(message, attempt)
            if before is attempt.state or not in_time:
                continue
            if told & {S.DELIVERED, S.READ}:
                self.delivered_in_time.add(message)
            if self._meets(attempt):
                self.met_in_time.add(message)

    def _before(self, message: Hashable, attempt: SeenAttempt) -> S | None:
        attempts = self.last[message].attempts if message in self.last else ()
        return next((one.state for one in attempts if one.ref == attempt.ref), None)

    def _meets(self, attempt: SeenAttempt) -> bool:
        wanted = {S.READ}
        if self.policy.steps[attempt.step].success is Success.DELIVERED:
            wanted.add(S.DELIVERED)
        return bool(self.diaries[attempt.ref].told & wanted)

    def _check_attempt(self, attempt: SeenAttempt) -> None:
        told = self.diaries[attempt.ref].told
        fact = highest(told)
        if fact is not None:
            assert ORDER.index(attempt.state) >= ORDER.index(fact), "a fact was forgotten"
        if attempt.state in TOLD:
            assert attempt.state is fact, "nobody said so"
        was_delivered = bool(told & {S.DELIVERED, S.READ})
        assert attempt.charges == int(was_delivered), "one charge for each delivered attempt"

    def _check_steps(self, seen: Seen) -> None:
        assert [one.step for one in seen.attempts] == list(range(len(seen.attempts)))
        open_steps = [one for one in seen.attempts if one.is_live]
        assert len(open_steps) <= 1, "two open steps"
        if seen.state is MessageState.IN_PROGRESS:
            assert open_steps == [seen.attempts[-1]], "nothing is open, and it is not over"
        for one in open_steps:
            assert one.due_at is not None, "nobody will ever look at it again"
        for one in seen.attempts:
            assert one.is_live or one.state not in {S.SCHEDULED, S.QUEUED, S.RETRY, S.SENDING}

    def _check_end(self, message: Hashable, seen: Seen) -> None:
        """Final if and only if: success, the caller's wish, or no step is left."""
        is_final = seen.state is not MessageState.IN_PROGRESS
        was_final = message in self.last and self.last[message].ended_at is not None
        last = seen.attempts[-1]
        is_through = len(seen.attempts) == len(self.policy.steps) and not last.is_live
        was_met = message in self.met_in_time
        gave_up = seen.state is MessageState.CANCELLED
        assert is_final == (was_final or is_through or was_met or gave_up)
        assert is_final == (seen.ended_at is not None)
        if gave_up:
            assert message in self.given_up, "nobody cancelled it"
        elif is_final:
            was_delivered = message in self.delivered_in_time
            assert (seen.state is MessageState.DELIVERED) == was_delivered
            assert seen.success_met == was_met

    def _check_change(self, message: Hashable, old: Seen, new: Seen, now: dt.datetime) -> None:
        if old.ended_at is not None:
            assert new.ended_at == old.ended_at, "a message ends once"
            promoted = (old.state, new.state) == (
                MessageState.UNDELIVERED,
                MessageState.DELIVERED,
            )
            assert old.state is new.state or promoted, "an end was taken back"
        assert len(new.attempts) >= len(old.attempts), "an attempt was lost"
        for was, is_now in zip(old.attempts, new.attempts, strict=False):
            assert was.ref == is_now.ref, "a step was replaced"
            self._check_way(was, is_now, now)
        opened = new.attempts[len(old.attempts) :]
        assert not opened or old.state is MessageState.IN_PROGRESS, "a step after the end"

    def _check_way(self, old: SeenAttempt, new: SeenAttempt, now: dt.datetime) -> None:
        steps_up = ORDER.index(new.state) >= ORDER.index(old.state)
        assert steps_up or (old.state, new.state) in STEPS_DOWN, "a state stepped back"
        assert old.is_live or not new.is_live, "an ended step came back to life"
        if old.state is new.state:
            return
        if new.state in {S.CANCELLED, S.SKIPPED}:
            assert old.state not in IN_THE_AIR, "a call in the air was given up"
        diary = self.diaries[new.ref]
        gave_up = new.state is S.EXPIRED and S.EXPIRED not in diary.told
        if gave_up and diary.until is not None:
            assert now >= diary.until, "given up while its provider may deliver"
