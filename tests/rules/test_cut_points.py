"""Every order of receipts at every point where a process may die: one state, one charge.

A cascade of three steps is cut at each point. Then receipts come, up to five of them, in every
order and with every repetition; then time runs out. On the engine all of them are walked through
as a graph: what two orders have made equal goes on as one.
"""

from __future__ import annotations

import random

from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import count, product

import pytest

from cascade.channels.base import Accepted, Receipt, Result, Unsupported
from cascade.domain import engine
from cascade.domain.cascade import Cascade
from cascade.domain.engine import Word
from cascade.domain.policy import Policy
from cascade.domain.state import AttemptState as S, Channel, MessageState, Success
from tests.domain.one_message import OneMessage
from tests.rules.on_postgresql import OnPostgreSQL
from tests.rules.world import Died, Seen, a_policy, wait_until_all_is_over


RECEIPTS = 5
STATES = (S.SENT, S.REJECTED, S.UNDELIVERABLE, S.DELIVERED, S.READ)
ORDER = list(S)
# What time, a decision of ours, may have made of an attempt whose highest receipt is this one.
OURS = {S.SENT: {S.EXPIRED}, S.REJECTED: {S.EXPIRED}}
REFUSED = {S.SENT: {S.UNSUPPORTED}}  # and what the provider's answer has
ACTS = 5


def three_steps(success: Success) -> Policy:
    channels = (Channel.VK, Channel.OK, Channel.SMS)
    return a_policy(*[(channel, 60, success, None) for channel in channels])


def lives(message: OneMessage) -> Iterator[OneMessage]:
    """The message after each act of the processes that serve it: they may all die there."""
    yield message
    for attempt_id in (1, 2, 3):
        call = message.claim(attempt_id)
        assert call is not None
        yield message  # claimed, and perhaps called
        message.accept(call)
        yield message
        message.wait(62)
        message.expire(attempt_id)
        yield message  # the next step is open, and nobody was told


Told = tuple[S | None, ...]  # the highest receipt of each attempt


def every_order(cascade: Cascade, message: OneMessage) -> Mapping[Cascade, set[Told]]:
    """The cascades that up to five receipts can lead to, each with what may have been told."""
    opened = len(cascade.attempts)
    words = [
        Word(attempt_id=place + 1, state=state) for place, state in product(range(opened), STATES)
    ]
    found: dict[Cascade, set[Told]] = {cascade: {(None,) * opened}}
    newest = found
    for _ in range(RECEIPTS):
        reached: dict[Cascade, set[Told]] = {}
        for one, told in newest.items():
            for word in words:
                heard = numbered(engine.hear(one, word, message.now))
                joined = {joining(each, word) for each in told}
                new = joined - found.get(heard, set())
                if new:
                    reached.setdefault(heard, set()).update(new)
        for one, told in reached.items():
            found.setdefault(one, set()).update(told)
        newest = reached
    return found


def numbered(cascade: Cascade) -> Cascade:
    """With the ids that the database would have given."""
    for attempt in cascade.attempts:
        if attempt.id is None:
            message = OneMessage(cascade.policy)
            message.cascade = cascade
            message.happen()
            return message.cascade
    return cascade


def joining(told: Told, word: Word) -> Told:
    before = told[word.attempt_id - 1]
    highest = max(word.state, before or word.state, key=ORDER.index)
    return (*told[: word.attempt_id - 1], highest, *told[word.attempt_id :])


def ended(cascade: Cascade, message: OneMessage, *, is_served: bool) -> Cascade:
    """After every time-out; others may have gone on sending, to silent providers."""
    rest = OneMessage(cascade.policy, now=message.now)
    rest.cascade = cascade
    rest.adopt(message)
    for attempt_id in (1, 2, 3) if is_served else ():
        if len(rest.cascade.attempts) == attempt_id and rest.claim(attempt_id):
            rest.wait(80)  # nobody answers
            rest.tick()
            rest.tick()
    rest.tick_until_all_is_over()
    return rest.cascade


def check(cascade: Cascade, told: Told) -> None:
    """The states follow from what was told, whatever came when."""
    for attempt, highest in zip(cascade.attempts, told, strict=False):
        if highest is not None:
            assert attempt.state in {highest, *OURS.get(highest, ())}
    deliveries = sum(one in {S.DELIVERED, S.READ} for one in told)
    assert sum(attempt.is_delivered for attempt in cascade.attempts) == deliveries
    end = MessageState.DELIVERED if deliveries else MessageState.UNDELIVERED
    assert cascade.state is end


@pytest.mark.parametrize("is_served", [False, True])
@pytest.mark.parametrize("success", Success)
def test_on_the_engine_every_order_at_every_cut_ends_in_the_state_of_its_highest_receipts(
    success: Success, *, is_served: bool
) -> None:
    message = OneMessage(three_steps(success))
    cuts = 0
    for at_this_cut in lives(message):
        cuts += 1
        for cascade, told in every_order(at_this_cut.cascade, at_this_cut).items():
            end = ended(cascade, at_this_cut, is_served=is_served)
            for one in told:
                check(end, one)
    assert cuts == 1 + 3 * 3


class Life:
    """The acts that serve one message in a world, each a transaction or a few."""

    def __init__(self, world: OnPostgreSQL, key: str) -> None:
        self._world = world
        self._key = key
        self.acts = (self._submit, self._claim, self._refused, self._claim, self._taken)

    def _submit(self) -> None:
        self.message = self._world.submit(self._key, deadline=3600, send_in=None)

    def _claim(self) -> None:
        self._call = self._world.claim(self.message)

    def _refused(self) -> None:
        self._settle(Unsupported("no-user"))

    def _taken(self) -> None:
        self._settle(Accepted())

    def _settle(self, result: Result) -> None:
        assert self._call is not None
        self._world.settle(self._call, result)


def is_cut(world: OnPostgreSQL, act: Callable[[], object], statements: int) -> bool:
    """Whether the process died before it had done `act`."""
    world.die_after(statements)
    try:
        act()
    except Died:
        return True
    finally:
        world.revive()
    return False


def some_receipts(world: OnPostgreSQL, message: Hashable, dice: random.Random) -> dict[str, S]:
    """Comes with up to five, applied by collectors that may die; the highest by our references."""
    attempts = world.look()[message].attempts
    told: dict[str, S] = {}
    for number in range(dice.randint(0, RECEIPTS)):
        one, state = dice.choice(attempts), dice.choice(STATES)
        receipt = Receipt(
            status=state, native_status=state, native_code=str(number), client_ref=one.ref
        )
        world.receive(one.account, receipt)
        told[one.ref] = max(state, told.get(one.ref, state), key=ORDER.index)
        if dice.random() < 0.5:
            is_cut(world, world.collect, dice.randint(0, 12))
    return told


@pytest.mark.integration
def test_on_postgresql_a_death_before_any_statement_loses_nothing_and_charges_once(
    for_real: OnPostgreSQL,
) -> None:
    dice = random.Random(5)  # noqa: S311  # it draws examples
    told: dict[str, S] = {}
    lives = 0
    for_real.start(three_steps(Success.READ))
    with for_real.mortal():
        for place in range(ACTS):
            for statements in count():
                lives += 1
                life = Life(for_real, f"{place} {statements}")
                for act in life.acts[:place]:
                    act()
                was_cut = is_cut(for_real, life.acts[place], statements)
                if place == 0:
                    life.acts[place]()  # the caller asks again
                told |= some_receipts(for_real, life.message, dice)
                if not was_cut:
                    break
        wait_until_all_is_over(for_real)
    world = for_real.look()
    assert len(world) == lives
    for seen in world.values():
        check_seen(seen, told)


def check_seen(seen: Seen, told: Mapping[str, S]) -> None:
    for attempt in seen.attempts:
        highest = told.get(attempt.ref)
        if highest is not None:
            known = {highest, *OURS.get(highest, ()), *REFUSED.get(highest, ())}
            assert attempt.state in known
        assert attempt.charges == (highest in {S.DELIVERED, S.READ})
    was_delivered = any(one.charges for one in seen.attempts)
    assert seen.state is (MessageState.DELIVERED if was_delivered else MessageState.UNDELIVERED)
