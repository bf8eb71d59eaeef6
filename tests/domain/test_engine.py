from __future__ import annotations

import datetime as dt
import itertools

from collections.abc import Callable, Iterable
from functools import partial, reduce

import pytest

from hypothesis import given, settings, strategies as st

from cascade.domain import engine
from cascade.domain.cascade import Attempt, Cascade
from cascade.domain.engine import RECEIPT_GRACE, Word
from cascade.domain.policy import Policy
from cascade.domain.state import (
    FACTS,
    UNSENT,
    AttemptState,
    Channel,
    Lane,
    MessageState,
    Success,
)
from tests.domain.building import NOW, a_cascade, a_policy, a_step, an_attempt, later
from tests.domain.one_message import Call, OneMessage


READ_FIRST = a_policy(a_step(Channel.VK, success=Success.READ), a_step(Channel.SMS, ttl_minimum=0))
ENDS = [
    AttemptState.UNSUPPORTED,
    AttemptState.REJECTED,
    AttemptState.EXPIRED,
    AttemptState.UNDELIVERABLE,
]

facts = st.sampled_from(sorted(FACTS, key=lambda state: state.rank))


def a_sent_message(policy: Policy | None = None, *, deadline: float = 3600) -> OneMessage:
    """Its first step is at the provider, with 60 s to go."""
    message = OneMessage(policy, deadline=deadline)
    message.accept(claimed(message))
    return message


def first_attempt(
    policy: Policy,
    *,
    deadline: dt.datetime,
    send_at: dt.datetime | None = None,
    lane: Lane = Lane.NORMAL,
) -> Attempt:
    return engine.first_attempt(policy, lane=lane, deadline=deadline, send_at=send_at, now=NOW)


def claimed(message: OneMessage, attempt_id: int = 1) -> Call:
    call = message.claim(attempt_id)
    assert call is not None
    return call


def pass_over(message: OneMessage, attempt_id: int = 1) -> None:
    """The attempt's TTL and its receipt grace go by."""
    message.now = max(message.now, message.attempt(attempt_id).expires_at + RECEIPT_GRACE)
    message.expire(attempt_id)


class TestTheStart:
    def test_a_new_message_is_queued_for_its_first_step(self) -> None:
        first = first_attempt(a_policy(), deadline=later(3600))
        assert (first.step, first.channel, first.account) == (0, Channel.VK, "vk-account")
        assert first.state is AttemptState.QUEUED
        assert first.is_live

    def test_waiting_ends_while_there_is_time_for_the_providers_minimum(self) -> None:
        for minimum, end in ((15, 3585), (1, 3599), (0, 3599)):
            policy = a_policy(a_step(ttl_minimum=minimum))
            first = first_attempt(policy, deadline=later(3600))
            assert first.expires_at == later(end)

    def test_waiting_is_bounded_by_max_wait_where_the_step_sets_it(self) -> None:
        policy = a_policy(a_step(max_wait=20))
        first = first_attempt(policy, deadline=later(3600))
        assert first.expires_at == later(20)

    def test_max_wait_does_not_outlast_the_deadline(self) -> None:
        policy = a_policy(a_step(max_wait=20))
        first = first_attempt(policy, deadline=later(30))
        assert first.expires_at == later(15)

    @pytest.mark.parametrize(
        ("lane", "seconds"), [(Lane.URGENT, 2), (Lane.NORMAL, 8), (Lane.BULK, 8)]
    )
    def test_a_lost_hint_is_noticed_soonest_where_somebody_waits_for_it(
        self, lane: Lane, seconds: int
    ) -> None:
        first = first_attempt(a_policy(), deadline=later(3600), lane=lane)
        assert first.due_at == later(seconds)

    def test_a_message_for_later_is_scheduled_and_its_waiting_counts_from_then(self) -> None:
        policy = a_policy(a_step(max_wait=20))
        first = first_attempt(policy, deadline=later(3600), send_at=later(600))
        assert first.state is AttemptState.SCHEDULED
        assert first.due_at == later(600)
        assert first.expires_at == later(620)


class TestTheNextAttempt:
    """What `attempt_after` opens without a whole message at hand."""

    @given(
        lane=st.sampled_from(Lane),
        deadline=st.integers(0, 100),
        max_wait=st.none() | st.integers(1, 100),
    )
    def test_it_is_the_one_that_a_refusal_opens(
        self, lane: Lane, deadline: int, max_wait: int | None
    ) -> None:
        policy = a_policy(a_step(Channel.VK), a_step(Channel.OK, max_wait=max_wait))
        refused = a_cascade(policy=policy, deadline=deadline)._replace(lane=lane)

        after = engine.attempt_after(policy, 0, lane=lane, deadline=refused.deadline, now=NOW)

        turned = engine.hear(refused, Word(attempt_id=1, state=AttemptState.UNSUPPORTED), NOW)
        opened = [one for one in turned.attempts if one.step == 1 and one.is_live]
        assert opened == ([] if after is None else [after])

    @pytest.mark.parametrize(("seconds", "is_opened"), [(15, True), (14, False)])
    def test_there_is_none_without_the_least_time_that_its_provider_takes(
        self, seconds: int, *, is_opened: bool
    ) -> None:
        policy = a_policy(
            a_step(Channel.VK),
            a_step(Channel.OK, ttl_minimum=15),
            a_step(Channel.SMS, ttl_minimum=0),
        )
        after = engine.attempt_after(policy, 0, lane=Lane.NORMAL, deadline=later(seconds), now=NOW)
        assert (after is not None) == is_opened

    def test_there_is_none_after_the_last_step(self) -> None:
        policy = a_policy(a_step(Channel.VK), a_step(Channel.OK))
        assert (
            engine.attempt_after(policy, 1, lane=Lane.NORMAL, deadline=later(3600), now=NOW)
            is None
        )


class TestSuccess:
    def test_a_delivery_ends_the_message_with_its_success_met(self) -> None:
        message = a_sent_message()
        message.wait(3)
        message.hear(1, AttemptState.DELIVERED)
        assert message.state is MessageState.DELIVERED
        assert message.cascade.success_met
        assert message.cascade.ended_at == message.attempt(1).ended_at == later(3)
        assert message.attempt(1).delivered_at == later(3)

    def test_a_jump_to_read_is_a_delivery_too(self) -> None:
        message = a_sent_message()
        message.wait(3)
        message.hear(1, AttemptState.READ)
        assert message.cascade.success_met
        assert message.attempt(1).delivered_at == message.attempt(1).read_at == later(3)

    def test_reading_later_changes_neither_the_delivery_nor_the_end(self) -> None:
        message = a_sent_message()
        message.hear(1, AttemptState.DELIVERED)
        message.wait(600)
        message.hear(1, AttemptState.READ)
        assert message.attempt(1).delivered_at == message.cascade.ended_at == NOW
        assert message.attempt(1).read_at == later(600)

    def test_it_leaves_no_failure_to_explain(self) -> None:
        message = a_sent_message()
        message.hear(1, AttemptState.UNDELIVERABLE, "code 5")
        message.hear(1, AttemptState.DELIVERED, "code 0")
        assert message.attempt(1).error is None

    def test_a_receipt_may_come_before_the_answer_of_the_call(self) -> None:
        message = OneMessage()
        call = claimed(message)
        message.hear(1, AttemptState.DELIVERED)
        message.accept(call)
        assert message.states == ["delivered"]
        assert not message.attempt(1).is_live

    def test_a_word_that_is_known_changes_nothing(self) -> None:
        message = a_sent_message()
        message.hear(1, AttemptState.DELIVERED)
        before = message.cascade
        message.wait(1)
        message.hear(1, AttemptState.DELIVERED)
        message.hear(1, AttemptState.SENT)
        message.hear(1, AttemptState.UNDELIVERABLE)
        assert message.cascade == before

    def test_a_word_about_another_messages_attempt_is_an_error(self) -> None:
        with pytest.raises(KeyError, match="99"):
            engine.hear(a_cascade(), Word(attempt_id=99, state=AttemptState.SENT), NOW)


class TestTheTimeOfSending:
    @pytest.mark.parametrize(
        "word", [AttemptState.SENT, AttemptState.DELIVERED, AttemptState.READ]
    )
    def test_a_receipt_that_comes_before_the_answer_tells_it(self, word: AttemptState) -> None:
        message = OneMessage()
        claimed(message)
        message.wait(3)
        message.hear(1, word)
        assert message.attempt(1).sent_at == later(3)

    def test_later_words_do_not_move_it(self) -> None:
        message = OneMessage()
        claimed(message)
        message.hear(1, AttemptState.SENT)
        message.wait(3)
        message.hear(1, AttemptState.DELIVERED)
        assert message.attempt(1).sent_at == NOW

    @pytest.mark.parametrize(
        "word", [AttemptState.UNSUPPORTED, AttemptState.REJECTED, AttemptState.UNDELIVERABLE]
    )
    def test_what_was_refused_at_once_was_never_sent(self, word: AttemptState) -> None:
        message = OneMessage()
        claimed(message)
        message.hear(1, word)
        assert message.attempt(1).sent_at is None


class TestFallingBack:
    @pytest.mark.parametrize("end", ENDS)
    def test_an_end_without_delivery_opens_the_next_step_at_once(self, end: AttemptState) -> None:
        message = a_sent_message()
        message.wait(3)
        message.hear(1, end, "code 5")
        assert message.states == [end.value, "queued"]
        assert message.attempt(1).ended_at == later(3)
        assert message.attempt(1).error == "code 5"
        assert message.attempt(2).channel is Channel.SMS
        assert message.state is MessageState.IN_PROGRESS

    def test_a_step_opens_once_though_its_reason_is_told_twice(self) -> None:
        message = a_sent_message()
        message.hear(1, AttemptState.UNSUPPORTED)
        message.hear(1, AttemptState.UNSUPPORTED)
        message.hear(1, AttemptState.UNDELIVERABLE)
        assert message.states == ["undeliverable", "queued"]

    def test_an_acceptance_opens_nothing_and_is_no_failure(self) -> None:
        message = OneMessage()
        claimed(message)
        message.hear(1, AttemptState.SENT, "on its way")
        assert message.states == ["sent"]
        assert message.attempt(1).error is None

    def test_the_next_steps_waiting_counts_from_its_opening(self) -> None:
        policy = a_policy(a_step(Channel.VK), a_step(Channel.SMS, max_wait=20))
        message = a_sent_message(policy)
        message.wait(30)
        message.hear(1, AttemptState.UNSUPPORTED)
        assert message.attempt(2).expires_at == later(50)
        assert message.attempt(2).due_at == later(38)

    def test_after_the_last_step_the_message_is_undelivered(self) -> None:
        message = a_sent_message()
        message.hear(1, AttemptState.UNSUPPORTED)
        message.wait(3)
        message.hear(2, AttemptState.REJECTED)
        assert message.state is MessageState.UNDELIVERED
        assert message.cascade.success_met is False
        assert message.cascade.ended_at == later(3)

    def test_two_steps_may_open_in_one_transaction(self) -> None:
        policy = a_policy(a_step(Channel.VK), a_step(Channel.OK), a_step(Channel.SMS))
        message = a_sent_message(policy)
        message.hear(1, AttemptState.UNSUPPORTED)
        message.hear(2, AttemptState.UNSUPPORTED)
        assert message.states == ["unsupported", "unsupported", "queued"]


class TestTheTimeToLive:
    def test_it_does_not_run_while_the_attempt_waits_in_the_queue(self) -> None:
        message = OneMessage()
        message.wait(1000)
        message.expire(1)
        assert message.states == ["queued"]
        claimed(message)
        assert message.attempt(1).expires_at == later(1060)

    def test_it_does_not_start_again_with_another_try(self) -> None:
        message = OneMessage()
        message.refuse(claimed(message))
        message.wait(10)
        message.tick()
        claimed(message)
        assert message.attempt(1).expires_at == later(60)

    def test_when_it_is_over_the_next_step_opens(self) -> None:
        message = a_sent_message()
        message.wait(62)
        message.expire(1)
        assert message.states == ["expired", "queued"]
        assert message.attempt(1).error == "expired"

    def test_a_receipt_on_its_way_is_given_two_seconds_more(self) -> None:
        message = a_sent_message()
        message.wait(61.999)
        message.expire(1)
        assert message.states == ["sent"]
        assert message.attempt(1).due_at == later(62)

    def test_what_never_was_called_is_given_no_grace(self) -> None:
        message = OneMessage(a_policy(a_step(max_wait=20), a_step(Channel.SMS)))
        message.wait(20)
        message.expire(1)
        assert message.states == ["expired", "queued"]

    def test_a_retry_is_not_tried_beyond_it(self) -> None:
        message = OneMessage()
        message.refuse(claimed(message), pause=600)
        message.wait(59.999)
        message.tick()
        assert message.states == ["retry"]
        message.wait(0.001)
        message.tick()
        assert message.states == ["expired", "queued"]

    def test_it_ends_no_call_that_is_in_the_air(self) -> None:
        message = OneMessage()
        claimed(message)
        message.wait(600)
        message.expire(1)
        assert message.states == ["sending"]

    def test_after_a_slow_answer_the_provider_keeps_the_whole_time_it_was_given(self) -> None:
        message = OneMessage()
        call = claimed(message)
        message.wait(4)
        message.accept(call)
        message.wait(61)  # 65 s after the call
        message.expire(1)
        assert message.states == ["sent"]
        message.wait(1)
        message.expire(1)
        assert message.states == ["expired", "queued"]

    def test_a_call_of_unknown_outcome_is_waited_for_as_well(self) -> None:
        message = OneMessage()
        message.lose(claimed(message))
        message.wait(61)
        message.expire(1)
        assert message.states == ["unknown"]
        message.wait(1)
        message.expire(1)
        assert message.states == ["expired", "queued"]

    def test_the_reason_why_it_could_not_be_sent_in_time_is_kept(self) -> None:
        message = OneMessage()
        message.refuse(claimed(message), code="unavailable")
        message.wait(60)
        message.expire(1)
        assert message.states == ["expired", "queued"]
        assert message.attempt(1).error == "unavailable"

    def test_an_ended_step_does_not_expire_again(self) -> None:
        message = a_sent_message()
        pass_over(message)
        before = message.cascade
        pass_over(message)
        assert message.cascade == before


class TestTheDeadline:
    def test_a_step_that_waits_in_vain_leaves_the_next_one_its_time(self) -> None:
        message = OneMessage(deadline=100)
        message.wait(85)
        message.expire(1)
        assert message.states == ["expired", "queued"]
        assert message.claim(2) is not None

    def test_it_ends_a_message_whose_last_step_still_waits(self) -> None:
        message = OneMessage(a_policy(a_step(ttl_minimum=0)), deadline=100)
        message.wait(99)
        message.expire(1)
        assert message.states == ["expired"]
        assert message.state is MessageState.UNDELIVERED

    def test_a_first_step_without_enough_time_gives_way_at_once(self) -> None:
        message = OneMessage(deadline=10)
        assert message.claim(1) is None
        message.tick()
        assert message.states == ["expired", "queued"]

    def test_a_step_whose_provider_needs_longer_is_skipped(self) -> None:
        policy = a_policy(
            a_step(Channel.VK), a_step(Channel.VIBER, ttl_minimum=30), a_step(Channel.SMS)
        )
        message = a_sent_message(policy, deadline=91)
        pass_over(message)
        assert message.states == ["expired", "skipped", "queued"]
        assert message.attempt(2).error == "deadline"
        assert message.attempt(2).ended_at == later(62)

    def test_a_step_opens_with_exactly_the_minimum_left(self) -> None:
        policy = a_policy(a_step(Channel.VK), a_step(Channel.VIBER, ttl_minimum=30))
        message = a_sent_message(policy, deadline=92)
        pass_over(message)
        assert message.states == ["expired", "queued"]

    def test_without_a_minimum_a_second_is_asked_for(self) -> None:
        for deadline, state in ((62.9, "skipped"), (63, "queued")):
            message = a_sent_message(deadline=deadline)
            pass_over(message)
            assert message.states == ["expired", state]

    def test_a_skipped_step_is_over_from_the_start(self) -> None:
        message = a_sent_message(deadline=60)
        pass_over(message)
        assert message.attempt(2).due_at is None
        assert message.state is MessageState.UNDELIVERED


class TestAStepThatWantsToBeRead:
    def test_a_delivery_keeps_it_live_until_its_time_is_over(self) -> None:
        message = a_sent_message(READ_FIRST)
        message.wait(10)
        message.hear(1, AttemptState.DELIVERED)
        assert message.states == ["delivered"]
        assert message.state is MessageState.IN_PROGRESS
        assert message.attempt(1).due_at == later(62)

    def test_unread_in_time_it_stays_delivered_and_the_next_step_opens(self) -> None:
        message = a_sent_message(READ_FIRST)
        message.hear(1, AttemptState.DELIVERED)
        pass_over(message)
        assert message.states == ["delivered", "queued"]
        assert message.attempt(1).ended_at == later(62)
        assert message.attempt(1).error is None

    def test_its_time_is_not_over_before_the_grace(self) -> None:
        message = a_sent_message(READ_FIRST)
        message.hear(1, AttemptState.DELIVERED)
        message.wait(61.999)
        message.expire(1)
        assert message.states == ["delivered"]

    def test_read_in_time_it_is_the_success(self) -> None:
        message = a_sent_message(READ_FIRST)
        message.hear(1, AttemptState.DELIVERED)
        message.wait(30)
        message.hear(1, AttemptState.READ)
        assert message.state is MessageState.DELIVERED
        assert message.cascade.success_met

    def test_delivered_but_never_read_the_message_is_delivered_without_success(self) -> None:
        message = a_sent_message(READ_FIRST)
        message.hear(1, AttemptState.DELIVERED)
        pass_over(message)
        message.hear(2, AttemptState.UNDELIVERABLE)
        assert message.state is MessageState.DELIVERED
        assert not message.cascade.success_met

    def test_read_within_the_window_after_that_the_success_is_met(self) -> None:
        message = a_sent_message(READ_FIRST)
        message.hear(1, AttemptState.DELIVERED)
        pass_over(message)
        message.hear(2, AttemptState.UNDELIVERABLE)
        ended_at = message.cascade.ended_at
        message.wait(3600)
        message.hear(1, AttemptState.READ)
        assert message.cascade.success_met
        assert message.cascade.ended_at == ended_at

    def test_a_late_delivery_alone_does_not_stop_the_next_step(self) -> None:
        message = a_sent_message(READ_FIRST)
        pass_over(message)
        message.hear(1, AttemptState.DELIVERED)
        assert message.states == ["delivered", "queued"]
        assert message.state is MessageState.IN_PROGRESS


class TestALateSuccess:
    def test_it_cancels_the_next_step_that_waits(self) -> None:
        message = a_sent_message()
        pass_over(message)
        message.hear(1, AttemptState.DELIVERED)
        assert message.states == ["delivered", "cancelled"]
        assert message.state is MessageState.DELIVERED
        assert message.attempt(2).ended_at == message.now
        assert message.claim(2) is None

    def test_it_cancels_a_next_step_that_waits_for_another_try(self) -> None:
        message = a_sent_message()
        pass_over(message)
        message.refuse(claimed(message, 2))
        message.hear(1, AttemptState.DELIVERED)
        assert message.states == ["delivered", "cancelled"]

    def test_it_does_not_touch_a_next_step_that_is_being_sent(self) -> None:
        message = a_sent_message()
        pass_over(message)
        claimed(message, 2)
        message.hear(1, AttemptState.DELIVERED)
        assert message.states == ["delivered", "sending"]
        assert message.attempt(2).is_live

    def test_the_second_delivery_is_charged_as_well(self) -> None:
        message = a_sent_message()
        pass_over(message)
        message.accept(claimed(message, 2))
        message.hear(1, AttemptState.DELIVERED)
        message.wait(5)
        message.hear(2, AttemptState.DELIVERED)
        assert all(attempt.is_delivered for attempt in message.cascade.attempts)
        assert message.cascade.ended_at != message.attempt(2).ended_at

    def test_the_next_steps_silence_does_not_undo_it(self) -> None:
        message = a_sent_message()
        pass_over(message)
        message.accept(claimed(message, 2))
        message.hear(1, AttemptState.DELIVERED)
        pass_over(message, 2)
        assert message.states == ["delivered", "expired"]
        assert message.state is MessageState.DELIVERED

    def test_it_cancels_a_step_that_was_opened_in_the_same_transaction(self) -> None:
        message = a_sent_message()
        message.happen(
            lambda cascade, now: hear_all(cascade, [AttemptState.UNDELIVERABLE], now),
            lambda cascade, now: hear_all(cascade, [AttemptState.DELIVERED], now),
        )
        assert message.states == ["delivered", "cancelled"]

    def test_a_cancelled_attempt_that_went_out_after_all_is_delivered_and_charged(self) -> None:
        message = a_sent_message()
        pass_over(message)
        message.refuse(claimed(message, 2))
        message.hear(1, AttemptState.DELIVERED)
        message.hear(2, AttemptState.DELIVERED)
        assert message.states == ["delivered", "delivered"]


class TestAfterTheEnd:
    def an_undelivered_message(self) -> OneMessage:
        message = a_sent_message(a_policy(a_step()))
        pass_over(message)
        assert message.state is MessageState.UNDELIVERED
        return message

    def test_a_delivery_within_72_hours_promotes_it(self) -> None:
        message = self.an_undelivered_message()
        ended_at = message.cascade.ended_at
        message.wait(72 * 3600)
        message.hear(1, AttemptState.DELIVERED)
        assert message.state is MessageState.DELIVERED
        assert message.cascade.success_met
        assert message.cascade.ended_at == ended_at

    def test_a_delivery_after_that_only_charges(self) -> None:
        message = self.an_undelivered_message()
        message.wait(72 * 3600 + 0.001)
        message.hear(1, AttemptState.DELIVERED)
        assert message.attempt(1).is_delivered
        assert message.state is MessageState.UNDELIVERED

    def test_a_late_delivery_under_read_promotes_it_without_success(self) -> None:
        message = a_sent_message(a_policy(a_step(success=Success.READ)))
        pass_over(message)
        message.hear(1, AttemptState.DELIVERED)
        assert message.state is MessageState.DELIVERED
        assert message.cascade.success_met is False

    def test_a_late_failure_opens_nothing(self) -> None:
        message = self.an_undelivered_message()
        message.hear(1, AttemptState.UNDELIVERABLE)
        assert message.states == ["undeliverable"]
        assert message.state is MessageState.UNDELIVERED


class TestCancelling:
    @pytest.mark.parametrize(
        "waiting", [AttemptState.SCHEDULED, AttemptState.QUEUED, AttemptState.RETRY]
    )
    def test_what_was_not_sent_is_cancelled(self, waiting: AttemptState) -> None:
        cascade = engine.cancel(a_cascade(an_attempt(waiting)), later(5))
        assert cascade.state is MessageState.CANCELLED
        assert cascade.current.state is AttemptState.CANCELLED
        assert cascade.current.ended_at == cascade.ended_at == later(5)
        assert cascade.current.due_at is None

    def test_what_is_being_sent_goes_on_and_may_still_be_charged(self) -> None:
        message = OneMessage()
        call = claimed(message)
        message.cancel()
        message.accept(call)
        message.hear(1, AttemptState.DELIVERED)
        assert message.states == ["delivered"]
        assert message.state is MessageState.CANCELLED
        assert message.cascade.success_met is False

    def test_no_step_follows(self) -> None:
        message = a_sent_message()
        message.cancel()
        pass_over(message)
        assert message.states == ["expired"]
        assert message.state is MessageState.CANCELLED

    def test_an_ended_message_stays_as_it_is(self) -> None:
        message = a_sent_message()
        message.hear(1, AttemptState.DELIVERED)
        before = message.cascade
        message.cancel()
        assert message.cascade == before

    def test_a_call_that_comes_back_unsent_afterwards_is_never_made_again(self) -> None:
        message = OneMessage()
        call = claimed(message)
        message.cancel()
        message.refuse(call)
        assert message.claim(1) is None
        message.wait(1)
        message.tick()
        assert message.states == ["cancelled"]


@settings(deadline=None)
@given(st.sampled_from(AttemptState), st.lists(facts, max_size=6), st.data())
def test_any_order_and_any_number_of_receipts_give_the_same_state(
    start: AttemptState, words: list[AttemptState], data: st.DataObject
) -> None:
    ended_at = None if start in {*UNSENT, AttemptState.SENDING, AttemptState.SENT} else NOW
    cascade = a_cascade(
        an_attempt(start, ended_at=ended_at), an_attempt(AttemptState.QUEUED, step=1)
    )
    again = data.draw(st.lists(st.sampled_from(words), max_size=4)) if words else []
    shuffled = data.draw(st.permutations([*words, *again]))
    heard, differently = hear_all(cascade, words, NOW), hear_all(cascade, shuffled, NOW)
    assert heard.attempt(1).state is differently.attempt(1).state
    assert heard.attempt(1).state is max([start, *words], key=lambda state: state.rank)


def test_every_order_of_one_attempts_whole_story_gives_the_same_state() -> None:
    story = [
        AttemptState.SENT,
        AttemptState.UNSUPPORTED,
        AttemptState.EXPIRED,
        AttemptState.UNDELIVERABLE,
        AttemptState.DELIVERED,
    ]
    for order in itertools.permutations(story):
        assert hear_all(a_cascade(), order, NOW).attempt(1).state is AttemptState.DELIVERED


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), facts), max_size=6),
    st.lists(
        st.sampled_from(
            [
                OneMessage.cancel,
                OneMessage.tick,
                partial(OneMessage.wait, seconds=62),
                partial(OneMessage.expire, attempt_id=1),
                partial(OneMessage.expire, attempt_id=2),
            ]
        ),
        max_size=4,
    ),
    st.data(),
)
def test_what_is_charged_does_not_depend_on_when_time_ran_out_or_who_cancelled(
    words: list[tuple[int, AttemptState]],
    others: list[Callable[[OneMessage], None]],
    data: st.DataObject,
) -> None:
    said = [partial(OneMessage.hear, attempt_id=id_, state=state) for id_, state in words]
    told = {id_ for id_, state in words if state.rank >= AttemptState.DELIVERED.rank}
    message = a_sent_message()
    pass_over(message)
    message.accept(claimed(message, 2))
    events: list[Callable[[OneMessage], None]] = [*said, *others]
    for event in data.draw(st.permutations(events)):
        event(message)
    assert {a.step + 1 for a in message.cascade.attempts if a.is_delivered} == told


@settings(deadline=None)
@given(st.lists(facts, max_size=4), st.sampled_from([0.0, 59.9, 60.0, 61.9, 62.0, 1000.0]))
def test_asking_again_changes_nothing(words: list[AttemptState], seconds: float) -> None:
    cascade = hear_all(a_cascade(), words, NOW)
    once = engine.expire(cascade, 1, later(seconds))
    assert engine.expire(once, 1, later(seconds)) == once
    cancelled = engine.cancel(once, later(seconds))
    assert engine.cancel(cancelled, later(seconds + 1)) == cancelled


def hear_all(cascade: Cascade, words: Iterable[AttemptState], now: dt.datetime) -> Cascade:
    """The first attempt hears these words, one after the other."""
    told = [Word(attempt_id=1, state=state) for state in words]
    return reduce(lambda so_far, word: engine.hear(so_far, word, now), told, cascade)
