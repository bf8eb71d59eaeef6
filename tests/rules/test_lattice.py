"""The lattice: receipts in any order and number leave the highest of them, here and in the schema."""

from __future__ import annotations

from itertools import product

import pytest

from sqlalchemy import Engine, text

from cascade.domain.state import FACTS, AttemptState, may_hear


RECEIPTS = 5


JOINED = {
    (state, fact): fact if may_hear(state, fact) else state
    for state in AttemptState
    for fact in FACTS
}
RANKS = {state: place for place, state in enumerate(AttemptState)}


@pytest.mark.parametrize("start", AttemptState)
def test_every_order_with_every_repetition_of_five_facts_leaves_the_highest(
    start: AttemptState,
) -> None:
    for facts in product(FACTS, repeat=RECEIPTS):  # fewer are those with repetitions
        state = start
        for fact in facts:
            state = JOINED[state, fact]
        assert state is max(start, *facts, key=RANKS.__getitem__)


@pytest.mark.integration
def test_the_schema_has_the_same_order(engine: Engine) -> None:
    with engine.begin() as connection:
        states = text("SELECT unnest(enum_range(NULL::cascade.attempt_state))::text")
        assert list(connection.execute(states).scalars()) == list(AttemptState)
