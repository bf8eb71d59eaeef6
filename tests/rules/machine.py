"""Everything that can happen to messages, in any order: rules over a world, judged by a reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cascade.channels.base import (
    Accepted,
    Receipt,
    Rejected,
    Result,
    Throttled,
    Unavailable,
    Undeliverable,
    Unknown,
    Unsupported,
)
from cascade.domain.policy import Policy
from cascade.domain.state import FACTS, AttemptState, Channel, MessageState, Success
from tests.rules.reference import Reference
from tests.rules.world import (
    MUTE,
    Call,
    Died,
    Seen,
    World,
    a_policy,
    next_due,
    wait_until_all_is_over,
)


Fate = Literal[
    "taken", "taken and silent", "lost", "throttled", "unavailable", "unsupported", "rejected",
    "undeliverable",
]  # fmt: skip

MESSAGES = ("a", "b")
DEADLINES = (3600.0, 600.0, 100.0, 40.0)
ENDS_WITHIN = 90.0  # seconds after the deadline, with ticks and nothing else
# A receipt that named nothing at first is looked for again after pauses, up to this one.
ORPHANS_PAUSE = 600.0
_ANSWERS: Mapping[Fate, Result] = {
    "taken and silent": Unknown("timeout"),
    "lost": Unknown("timeout"),
    "throttled": Throttled("busy", 5.0),
    "unavailable": Unavailable("refused"),
    "unsupported": Unsupported("no-user"),
    "rejected": Rejected("template"),
    "undeliverable": Undeliverable("blocked"),
}
_TOLD: Mapping[type[Result], AttemptState] = {
    Accepted: AttemptState.SENT,
    Unsupported: AttemptState.UNSUPPORTED,
    Rejected: AttemptState.REJECTED,
    Undeliverable: AttemptState.UNDELIVERABLE,
}

messages = st.sampled_from(MESSAGES)
places = st.integers(0, 3)
fates = st.sampled_from(["taken", "taken", *_ANSWERS])
facts = st.sampled_from(sorted(FACTS, key=lambda state: state.rank))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    channels = draw(st.lists(st.sampled_from(Channel), min_size=1, max_size=4, unique=True))
    return a_policy(
        *[
            (
                channel,
                draw(st.sampled_from([60, 30])),
                draw(st.sampled_from(Success)),
                draw(st.sampled_from([None, 5, 20])),
            )
            for channel in channels
        ]
    )


@dataclass(slots=True)
class Provider:
    """All providers: they give every attempt a reference of theirs, and remember what was said."""

    said: list[tuple[str, Receipt]] = field(default_factory=list)  # with the account
    _times: Counter[str] = field(default_factory=Counter)

    def says(self, account: str, ref: str, status: AttemptState, *, anew: bool) -> None:
        """A receipt about our `ref`; a repeat of an earlier one, or a new one of the same words."""
        if anew:
            self._times[ref] += 1
        receipt = Receipt(
            status=status,
            native_status=status.value,
            native_code=str(self._times[ref]),
            client_ref=None if account == MUTE else ref,
            provider_ref=f"p-{ref}" if account == MUTE else None,
        )
        self.said.append((account, receipt))


class Messages(RuleBasedStateMachine):
    """At most two messages of one policy; `world` is where they live.

    No rule has a precondition: what may be drawn must not depend on a world's speed.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.provider = Provider()
        self.in_the_air: list[tuple[Call, Result]] = []  # answered by the provider, not settled
        self.sent: dict[str, Hashable] = {}  # our messages, by their callers' keys
        self.lives_for: int | None = None  # statements of the process that acts next

    @initialize(policy=policies(), deadline=st.sampled_from(DEADLINES), send_in=st.sampled_from([None, None, 5.0]))  # fmt: skip
    def starts(self, policy: Policy, deadline: float, send_in: float | None) -> None:
        self.world.start(policy)
        self.reference = Reference(policy)
        self.deadline, self.send_in = deadline, send_in
        self.is_sent("a")

    @rule(key=messages)
    def is_sent(self, key: str) -> None:
        """By a caller who asks again after a crash, and now and then out of impatience."""
        answers: list[Hashable] = []
        while not answers:
            self._lives(lambda: answers.append(self._submitted(key)))
        assert self.sent.setdefault(key, answers[0]) == answers[0], "one key, two messages"
        assert set(self.world.look()) == set(self.sent.values()), "one key, two messages"

    def _submitted(self, key: str) -> Hashable:
        return self.world.submit(key, deadline=self.deadline, send_in=self.send_in)

    @rule(key=messages, fate=fates, delay=st.sampled_from([0.0, 0.0, 4.9]), at_once=st.booleans())
    def is_called(self, key: str, fate: Fate, delay: float, at_once: bool) -> None:  # noqa: FBT001  # drawn
        """Claimed and called; what the provider answers is settled now, or later, or never."""
        call = self._claimed(key)
        if call is None:
            return
        self.reference.called(call, self.world.look()[call.message], self.world.now())
        self.world.wait(delay)
        result = self._answer(call, fate)
        self.in_the_air.append((call, result))
        if at_once:
            self.is_settled(len(self.in_the_air) - 1)

    @rule(key=messages, status=st.sampled_from([None, AttemptState.SENT, AttemptState.DELIVERED]))
    def its_process_dies_in_the_middle_of_a_late_call(
        self, key: str, status: AttemptState | None
    ) -> None:
        """The provider has taken it as late as a lease allows; a receipt may tell."""
        call = self._claimed(key)
        if call is None:
            return
        self.reference.called(call, self.world.look()[call.message], self.world.now())
        self.world.wait(4.9)
        self.reference.taken(call, self.world.now())
        if status is not None:
            self.the_newest_attempt_is_spoken_of(key, status)

    @rule(key=messages)
    def is_claimed_by_a_process_that_dies_before_the_call(self, key: str) -> None:
        self._claimed(key)

    @rule(key=messages, fate=fates)
    def its_lease_is_over_before_the_answer(self, key: str, fate: Fate) -> None:
        """Which is settled all the same, later or never."""
        self.is_called(key, fate, 0.0, at_once=False)
        self.time_passes(10.0)
        self.ticks_come(1)

    @rule(place=places)
    def is_settled(self, place: int) -> None:
        if not self.in_the_air:
            return
        call, result = self.in_the_air[place % len(self.in_the_air)]
        if self._lives(lambda: self.world.settle(call, result)):
            self._note(call, result)
            self.in_the_air.remove((call, result))

    @rule(key=messages, place=places, status=facts, anew=st.booleans())
    def a_receipt_comes(self, key: str, place: int, status: AttemptState, anew: bool) -> None:  # noqa: FBT001  # drawn
        seen = self._seen(key)
        attempt = seen.attempts[place % len(seen.attempts)]
        self.provider.says(attempt.account, attempt.ref, status, anew=anew)
        self._lives(lambda: self.world.receive(*self.provider.said[-1]))

    @rule(key=messages, status=facts)
    def the_newest_attempt_is_spoken_of(self, key: str, status: AttemptState) -> None:
        newest = len(self._seen(key).attempts) - 1
        self.a_receipt_comes(key, newest, status, anew=True)
        self.the_inbox_is_drained()

    @rule()
    def the_inbox_is_drained(self) -> None:
        self._lives(self.world.collect)

    @rule(status=facts)
    def the_providers_are_polled(self, status: AttemptState) -> None:
        self._lives(lambda: self.world.poll(status))

    @rule(times=st.integers(1, 3))
    def ticks_come(self, times: int) -> None:
        for _ in range(times):
            self._lives(self.world.tick)

    @rule(key=messages)
    def its_caller_gives_it_up(self, key: str) -> None:
        message = self._message(key)
        was_over = self._seen(key).ended_at is not None
        self.reference.given_up.add(message)
        answers: list[bool] = []
        if self._lives(lambda: answers.append(self.world.cancel(message))):
            assert answers == [not was_over], "the caller was told otherwise"
        if answers == [True]:
            assert self._seen(key).state is MessageState.CANCELLED

    @rule(statements=st.integers(0, 12))
    def the_next_process_dies(self, statements: int) -> None:
        self.lives_for = statements

    @rule(seconds=st.sampled_from([0.001, 1.0, 2.0, 5.0, 10.0, 32.0, 62.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(seconds=st.sampled_from([-0.01, 0.01, 1.0]))
    def the_next_due_time_comes(self, seconds: float) -> None:
        due = next_due(self.world)
        if due is not None:
            self.world.wait(max(0.0, (due - self.world.now()).total_seconds() + seconds))
            self.ticks_come(1)

    @rule(seconds=st.sampled_from([1.0, 4.0, 60.0, 3600.0]))
    def the_clock_steps_back(self, seconds: float) -> None:
        if any(one.ended_at for one in self.reference.last.values()):
            return
        self.world.wait(-seconds)

    @rule(key=messages, hours=st.sampled_from([71.0, 73.0]), status=facts)
    def a_receipt_comes_days_after_the_end(
        self, key: str, hours: float, status: AttemptState
    ) -> None:
        if key in self.sent and all(one.ended_at for one in self.reference.last.values()):
            self.world.wait(hours * 3600)
            self.the_newest_attempt_is_spoken_of(key, status)

    @invariant()
    def the_laws_hold(self) -> None:
        if hasattr(self, "reference"):
            self.reference.look(self.world.look(), self.world.now())

    def teardown(self) -> None:
        """Nobody claims, answers or says anything any more: ticks alone end every message."""
        if not hasattr(self, "reference"):
            return
        wait_until_all_is_over(
            self.world,
            within=ENDS_WITHIN + self._pause_of_orphans(),
            after_each=self.the_laws_hold,
        )

    def _message(self, key: str) -> Hashable:
        if key not in self.sent:
            self.is_sent(key)
        return self.sent[key]

    def _seen(self, key: str) -> Seen:
        message = self._message(key)
        return self.world.look()[message]

    def _claimed(self, key: str) -> Call | None:
        message = self._message(key)
        calls: list[Call | None] = []
        self._lives(lambda: calls.append(self.world.claim(message)))
        return calls[0] if calls else None

    def _answer(self, call: Call, fate: Fate) -> Result:
        if fate in {"taken", "taken and silent"}:
            self.reference.taken(call, self.world.now())
        if fate == "taken":
            return Accepted((f"p-{call.ref}",) if call.account == MUTE else ())
        return _ANSWERS[fate]

    def _note(self, call: Call, result: Result) -> None:
        if isinstance(result, Throttled | Unavailable):
            self.reference.unsent(call)
        state = _TOLD.get(type(result))
        if state is not None:
            self.reference.told(call.ref, state)

    def _lives(self, act: Callable[[], object]) -> bool:
        """Whether the process lived through it."""
        if self.lives_for is not None:
            self.world.die_after(self.lives_for)
            self.lives_for = None
        try:
            act()
        except Died:
            return False
        finally:
            self.world.revive()
        return True

    def _pause_of_orphans(self) -> float:
        return ORPHANS_PAUSE if any(account == MUTE for account, _ in self.provider.said) else 0.0
