"""What the report shows is what the database and the ledger file say."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from cascade.domain.state import AttemptState, Channel, MessageState
from cascade.sandbox.ledger import Call
from demo.figures import read_lines, read_refusals
from tests.demo.run import ANNA, BORIS, CLARA, TEXT, Run, channel_of


pytestmark = pytest.mark.integration


def test_an_empty_run_has_figures(run: Run) -> None:
    figures = run.figures()
    assert (figures.accepted, figures.final, figures.channels) == (0, 0, ())
    assert figures.median_to_reach is None


def test_every_attempt_is_counted_once_and_read_apart_from_delivered(run: Run) -> None:
    sent = [run.call_one(phone) for phone in (ANNA, BORIS, CLARA)]
    anna, boris, clara = (run.take(one, one.client_ref) for one in sent)
    run.deliver(anna)
    run.tell(anna, AttemptState.READ)
    run.deliver(boris)
    run.tell(clara, AttemptState.UNSUPPORTED)
    figures = run.figures()
    vk, ok = (channel_of(figures, channel) for channel in (Channel.VK, Channel.OK))
    assert vk.outcomes == {
        AttemptState.READ: 1,
        AttemptState.DELIVERED: 1,
        AttemptState.UNSUPPORTED: 1,
    }
    assert ok.outcomes == {AttemptState.QUEUED: 1}
    assert (vk.attempts, vk.delivered, vk.cost) == (3, 2, Decimal("0.60"))


def test_a_message_is_final_once_it_has_ended(run: Run) -> None:
    one = run.call_one(ANNA)
    run.deliver(run.take(one, one.client_ref))
    run.send(BORIS)
    figures = run.figures(pending=3)
    assert (figures.accepted, figures.final, figures.delivered) == (2, 1, 1)
    assert figures.messages[MessageState.IN_PROGRESS] == 1
    assert (figures.waiting.attempts, figures.pending) == (1, 3)


def test_the_median_is_of_the_time_from_acceptance_and_from_the_call(run: Run) -> None:
    for phone, wait, reading in ((ANNA, 2, 1), (BORIS, 3, 20), (CLARA, 90, 40)):
        run.send(phone, text="x")
        run.advance_clock(wait)
        [one] = run.call()
        message = run.take(one, one.client_ref)
        run.advance_clock(reading)
        run.deliver(message)
    figures = run.figures()
    medians = channel_of(figures, Channel.VK).medians
    assert medians is not None
    assert medians.since_accepted == pytest.approx(23, abs=1)
    assert medians.since_called == pytest.approx(20, abs=1)
    assert figures.median_to_reach == pytest.approx(23, abs=1)


def test_a_late_delivery_beside_another_is_overlap_with_its_cost(run: Run) -> None:
    by_vk = run.call_one(ANNA)
    vk_message = run.take(by_vk, by_vk.client_ref)
    run.expire()
    [by_ok] = run.call()
    run.deliver(run.take(by_ok, by_ok.client_ref))
    run.deliver(vk_message)
    figures = run.figures()
    assert (figures.incidents.overlapping, figures.incidents.late) == (1, 1)
    assert figures.overlap_cost == Decimal("0.30")
    assert figures.in_all.charged.amount == Decimal("0.60")
    assert figures.delivered == 1
    assert figures.books.is_balanced


def test_ambiguous_calls_and_receipts_of_unknown_attempts_are_counted(run: Run) -> None:
    one = run.call_one(ANNA, policy="code")
    run.lose_answer(one)
    run.tell(run.accept(one, "777"), AttemptState.DELIVERED)
    figures = run.figures()
    assert figures.incidents.ambiguous == 1
    assert (figures.orphans.waiting, figures.orphans.set_aside) == (1, 0)
    assert figures.waiting.receipts == 0  # nothing but time can come of it


def test_a_receipt_that_nobody_has_looked_at_is_waited_for(run: Run) -> None:
    one = run.call_one(ANNA, policy="code")
    run.store(run.accept(one, "777"), AttemptState.DELIVERED)
    assert run.figures().waiting.receipts == 1


@pytest.mark.parametrize("policy", ["default", "code"])
def test_a_receipt_that_is_put_off_is_waited_for_if_its_attempt_is_known(
    run: Run, policy: str
) -> None:
    one = run.call_one(ANNA, policy=policy)
    run.store(run.take(one, "777"), AttemptState.DELIVERED)
    run.defer()
    assert run.figures().waiting.receipts == 1


def test_sms_for_everyone_counts_segments_and_keeps_the_reached_apart(run: Run) -> None:
    anna = run.call_one(ANNA)
    run.deliver(run.take(anna, anna.client_ref))
    run.send(BORIS, text=TEXT * 8)  # 128 letters: two segments of 67
    sms = run.figures().sms_for_all
    assert (sms.accepted, sms.delivered) == (Decimal("6.00"), Decimal("2.00"))


def test_a_message_without_a_rate_for_sms_is_named_and_in_no_sum(run: Run) -> None:
    run.send("+14155550123")
    assert run.figures().sms_for_all.unpriced == 1
    assert run.figures().sms_for_all.accepted == 0


def test_money_in_another_currency_is_in_no_sum_and_no_balance(run: Run) -> None:
    one = run.call_one(ANNA)
    run.deliver(run.take(one, one.client_ref))
    run.alter_line(lambda event: event.update(currency="KZT"))
    figures = run.figures()
    assert (figures.in_all.billed.count, figures.in_all.billed.amount) == (1, Decimal(0))
    assert not figures.books.is_balanced


def test_only_deliveries_are_lines_and_refusals_are_counted_by_code(run: Run) -> None:
    one = run.call_one(ANNA)
    message = run.take(one, one.client_ref)
    run.book.book("read", message, at=run.now())
    call = Call(
        account="notify-vk",
        channel="vk",
        client_ref=None,
        phone=None,
        ttl=None,
        received_at=run.now(),
    )
    for _ in range(2):
        run.book.refuse("refused", call, code="THROTTLED")
    assert read_lines(run.path) == []
    assert read_refusals(run.path) == {"notify-vk THROTTLED": 2}


@pytest.mark.parametrize(
    "broken", ["{", '{"event": "delivered", "recipient": "+79161110001"}', "[]"]
)
def test_a_line_that_cannot_be_read_is_named_by_its_number(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"event": "read"}\n' + broken + "\n")
    with pytest.raises(ValueError, match=r"ledger\.jsonl, line 2: it cannot be read") as raised:
        read_lines(path)
    assert raised.value.__suppress_context__  # a traceback shows no phone
