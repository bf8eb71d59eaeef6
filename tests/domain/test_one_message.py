"""A whole cascade, walked through at random: every step of the engine and of storage, in any order."""

from __future__ import annotations

import datetime as dt

from functools import partial

import pytest

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cascade.domain import engine
from cascade.domain.cascade import Cascade
from cascade.domain.engine import RECEIPT_GRACE, Word
from cascade.domain.policy import Policy, Step
from cascade.domain.state import (
    FACTS,
    UNSENT,
    AttemptState,
    Channel,
    MessageState,
    Success,
)
from tests.domain.building import a_policy, a_step
from tests.domain.one_message import Call, OneMessage


pytestmark = pytest.mark.timeout(300)  # a failure is worth its shrinking

places = st.integers(0, 4)
answers = st.sampled_from(["taken", "silence", "unclear", "unsent"])
facts = st.sampled_from(sorted(FACTS, key=lambda state: state.rank))


@st.composite
def steps(draw: st.DrawFn, channel: Channel) -> Step:
    ttl_minimum = draw(st.sampled_from([0, 15, 30]))
    return a_step(
        channel,
        ttl=draw(st.sampled_from([30, 60])),
        ttl_minimum=ttl_minimum,
        success=draw(st.sampled_from(Success)),
        max_wait=draw(st.sampled_from([None, 5, 20])),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    channels = draw(st.lists(st.sampled_from(Channel), min_size=1, max_size=4, unique=True))
    return a_policy(*[draw(steps(channel)) for channel in channels])


class AMessageOnItsWay(RuleBasedStateMachine):
    """`OneMessage` checks the laws after every change; here they are provoked."""

    @initialize(
        policy=policies(),
        deadline=st.sampled_from([3600, 600, 100, 40, 10]),
        send_in=st.sampled_from([None, None, 5]),
        answer=answers,
    )
    def is_sent(self, policy: Policy, deadline: float, send_in: float | None, answer: str) -> None:
        self.message = OneMessage(policy, deadline=deadline, send_in=send_in)
        self.calls: list[Call] = []
        self.heard: dict[int, AttemptState] = {}
        self.the_current_attempt_is_called(answer)

    @rule(seconds=st.sampled_from([0.001, 1, 2, 5, 15, 32, 62, 300]))
    def time_passes(self, seconds: float) -> None:
        self.message.wait(seconds)

    @rule(seconds=st.sampled_from([-0.001, 0.0]))
    def the_next_due_time_comes(self, seconds: float) -> None:
        due = self.message.cascade.current.due_at
        if due is not None:
            self.message.now = max(self.message.now, due + dt.timedelta(seconds=seconds))

    @rule(hours=st.sampled_from([71, 73]))
    @precondition(lambda self: self.message.state is not MessageState.IN_PROGRESS)
    def days_pass(self, hours: float) -> None:
        self.message.wait(hours * 3600)

    @rule(answer=answers)
    def the_current_attempt_is_called(self, answer: str) -> None:
        call = self.message.claim(len(self.message.cascade.attempts))
        if call is not None:
            assert self.message.state is MessageState.IN_PROGRESS
            self.calls.append(call)
            self._answer(call, answer)

    @rule(place=places, answer=answers)
    @precondition(lambda self: self.calls)
    def an_answer_comes_late_or_twice(self, place: int, answer: str) -> None:
        self._answer(self.calls[place % len(self.calls)], answer)

    @rule(state=facts)
    def the_current_provider_speaks(self, state: AttemptState) -> None:
        self.a_provider_speaks(len(self.message.cascade.attempts) - 1, state)

    @rule(place=places, state=facts)
    def a_provider_speaks(self, place: int, state: AttemptState) -> None:
        attempt_id = self._attempt(place)
        self.message.hear(attempt_id, state)
        self._note(attempt_id, state)

    @rule(said=st.lists(st.tuples(places, facts), min_size=2, max_size=4))
    def many_receipts_are_applied_at_once(self, said: list[tuple[int, AttemptState]]) -> None:
        words = [Word(attempt_id=self._attempt(place), state=state) for place, state in said]
        self.message.happen(*[partial(_hear, word=word) for word in words])
        for word in words:
            self._note(word.attempt_id, word.state)

    @rule(seconds=st.sampled_from([-0.001, 0.0, 1.999, 2.0]))
    def the_time_of_the_current_attempt_is_over(self, seconds: float) -> None:
        over_at = self.message.cascade.current.expires_at + dt.timedelta(seconds=seconds)
        self.message.now = max(self.message.now, over_at)
        self.an_expiry_is_asked_for(len(self.message.cascade.attempts) - 1)

    @rule(place=places)
    def an_expiry_is_asked_for(self, place: int) -> None:
        attempt_id = self._attempt(place)
        before, state = self.message.attempt(attempt_id), self.message.state
        self.message.expire(attempt_id)
        after = self.message.attempt(attempt_id)
        if after == before:
            return
        assert before.state is not AttemptState.SENDING
        if after.state is AttemptState.CANCELLED:
            assert state is not MessageState.IN_PROGRESS
            return
        grace = dt.timedelta(0) if before.state in UNSENT else RECEIPT_GRACE
        assert self.message.now >= before.expires_at + grace

    @rule()
    def a_tick_comes(self) -> None:
        self.message.tick()

    @rule(wish=places)
    @precondition(lambda self: len(self.message.cascade.attempts) > 1 or self.calls)
    def the_caller_cancels(self, wish: int) -> None:
        if wish < 3:  # most callers do not
            return
        was_in_progress = self.message.state is MessageState.IN_PROGRESS
        self.message.cancel()
        assert (self.message.state is MessageState.CANCELLED) or not was_in_progress

    def teardown(self) -> None:
        """With nothing but ticks left, every attempt and the message come to their ends."""
        if not hasattr(self, "message"):
            return
        self.message.tick_until_all_is_over()
        assert self.message.state is not MessageState.IN_PROGRESS
        assert not any(attempt.is_live for attempt in self.message.cascade.attempts)

    def _attempt(self, place: int) -> int:
        return place % len(self.message.cascade.attempts) + 1

    def _answer(self, call: Call, answer: str) -> None:
        if answer == "taken":
            self.message.accept(call)
            self._note(call.attempt_id, AttemptState.SENT)
        elif answer == "unclear":
            self.message.lose(call)
        elif answer == "unsent":
            self.message.refuse(call)

    def _note(self, attempt_id: int, state: AttemptState) -> None:
        """No fact is ever forgotten, whatever comes after it."""
        known = self.heard.get(attempt_id, state)
        self.heard[attempt_id] = max(known, state, key=lambda one: one.rank)
        for one, highest in self.heard.items():
            assert self.message.attempt(one).state.rank >= highest.rank


def _hear(cascade: Cascade, now: dt.datetime, *, word: Word) -> Cascade:
    return engine.hear(cascade, word, now)


TestAMessageOnItsWay = AMessageOnItsWay.TestCase
TestAMessageOnItsWay.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
