from __future__ import annotations

import re

import pytest

from cascade.domain.state import (
    DECISIONS,
    FACTS,
    UNSENT,
    AttemptState,
    Lane,
    MessageState,
    Success,
    may_decide,
    may_hear,
)
from docs.draw_state_machine import PAGE, draw, redrawn


def test_the_rank_is_the_order_of_the_lattice() -> None:
    order = (
        "scheduled queued retry cancelled skipped sending unknown sent unsupported rejected"
        " expired undeliverable delivered read"
    )
    assert [state.value for state in sorted(AttemptState, key=lambda s: s.rank)] == order.split()


def test_the_names_are_those_of_queues_tables_and_callers() -> None:
    assert [*Lane] == ["urgent", "normal", "bulk"]
    assert [*MessageState] == ["in_progress", "delivered", "undelivered", "cancelled"]


def test_unsent_is_what_a_worker_has_still_to_send() -> None:
    assert {"scheduled", "queued", "retry"} == UNSENT


def test_a_providers_word_only_moves_an_attempt_up() -> None:
    heard = {(old, new) for old in AttemptState for new in AttemptState if may_hear(old, new)}
    assert heard == {(old, new) for old in AttemptState for new in FACTS if new.rank > old.rank}


def test_a_provider_never_speaks_of_what_only_we_decide() -> None:
    ours = {"scheduled", "queued", "retry", "cancelled", "skipped", "sending", "unknown"}
    assert set(AttemptState) - FACTS == ours


@pytest.mark.parametrize("old", [s for s in AttemptState if s.rank < AttemptState.DELIVERED.rank])
def test_any_state_may_still_become_delivered_or_read(old: AttemptState) -> None:
    assert may_hear(old, AttemptState.DELIVERED)
    assert may_hear(old, AttemptState.READ)


def test_the_only_decision_that_leaves_a_call_behind_is_the_retry() -> None:
    back = {
        (old.value, new.value)
        for old, ways in DECISIONS.items()
        for new in ways
        if new.rank < old.rank and old not in UNSENT
    }
    assert back == {("sending", "retry")}


def test_a_call_is_made_of_a_queued_attempt_only() -> None:
    assert [old for old in AttemptState if may_decide(old, AttemptState.SENDING)] == ["queued"]


def test_a_call_in_the_air_is_neither_expired_nor_cancelled() -> None:
    assert not may_decide(AttemptState.SENDING, AttemptState.EXPIRED)
    assert not may_decide(AttemptState.SENDING, AttemptState.CANCELLED)


def test_what_was_not_sent_may_be_cancelled_and_nothing_else() -> None:
    may_be = {old for old in AttemptState if may_decide(old, AttemptState.CANCELLED)}
    assert may_be == UNSENT


@pytest.mark.parametrize("waiting", [*sorted(UNSENT), AttemptState.UNKNOWN, AttemptState.SENT])
def test_whatever_waits_may_expire(waiting: AttemptState) -> None:
    assert may_decide(waiting, AttemptState.EXPIRED)


def test_no_decision_moves_an_attempt_out_of_an_end() -> None:
    ends = {"cancelled", "skipped", "unsupported", "rejected", "expired", "undeliverable"}
    assert not any(may_decide(AttemptState(end), new) for end in ends for new in AttemptState)
    assert not any(may_decide(AttemptState.DELIVERED, new) for new in AttemptState)


@pytest.mark.parametrize(
    ("success", "met_by"),
    [(Success.DELIVERED, {"delivered", "read"}), (Success.READ, {"read"})],
)
def test_reading_is_more_than_delivery(success: Success, met_by: set[str]) -> None:
    assert {state for state in AttemptState if success.is_met_by(state)} == met_by


class TestThePage:
    def test_its_diagrams_are_those_of_the_table(self) -> None:
        page = PAGE.read_text("utf-8")
        assert redrawn(page) == page, "run: python docs/draw_state_machine.py"

    def test_its_table_tells_every_state_in_rank_order_and_which_are_charged(self) -> None:
        rows = re.findall(r"^\| `(\w+)` \|.*\| ?(\w*) ?\|$", PAGE.read_text("utf-8"), re.MULTILINE)
        charged = {AttemptState.DELIVERED: "yes", AttemptState.READ: "yes"}
        assert rows == [(state.value, charged.get(state, "")) for state in AttemptState]

    def test_every_way_and_every_fact_is_drawn(self) -> None:
        drawing = draw()
        for old, ways in DECISIONS.items():
            for new in ways:
                assert f"{old} --> {new}\n" in drawing
        for fact in FACTS:
            assert f" --> {fact}" in drawing.partition("flowchart")[2]

    def test_a_drawing_that_is_out_of_date_is_replaced_and_the_words_around_it_stay(self) -> None:
        page = PAGE.read_text("utf-8")
        spoilt = page.replace("queued --> sending", "queued --> delivered")
        assert spoilt != page
        assert redrawn(spoilt) == page

    def test_a_page_without_its_markers_is_refused(self) -> None:
        with pytest.raises(ValueError, match="marker"):
            redrawn("no drawing here")
