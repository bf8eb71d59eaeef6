from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from cascade.channels.base import Accepted, Unavailable
from cascade.domain.message import Content
from cascade.domain.money import PriceUnit, Rate
from cascade.domain.policy import Step
from cascade.domain.state import Channel
from cascade.services.charge import charge
from cascade.services.sealed import seal_content
from cascade.storage.charges import sync_rates
from cascade.storage.database import transaction
from tests.services.journey import Journey, a_step


pytestmark = pytest.mark.integration

LONG_AGO = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


def a_rate(price: str, *, valid_from: dt.datetime, prefix: str = "+7", **more: object) -> Rate:
    facts: dict[str, object] = {
        "account": "smsc",
        "channel": Channel.SMS,
        "unit": PriceUnit.SEGMENT,
        "currency": "RUB",
    }
    return Rate(prefix=prefix, price=Decimal(price), valid_from=valid_from, **facts | more)  # type: ignore[arg-type]  # by name


def by_sms(journey: Journey, **more: Any) -> uuid.UUID:
    journey.policy(a_step(Channel.SMS, ttl=3600))
    message_id = journey.send(**more)
    journey.call(message_id, Accepted())
    return message_id


def forget_the_count(journey: Journey, message_id: uuid.UUID) -> None:
    journey.change("UPDATE cascade.messages SET segments = NULL WHERE id = :id", id=message_id)


def now(journey: Journey) -> dt.datetime:
    moment = journey.row("SELECT cascade.clock()")[0]
    assert isinstance(moment, dt.datetime)
    return moment


def delivered_cost(journey: Journey, message_id: uuid.UUID) -> tuple[Decimal | None, int]:
    journey.deliver(message_id)
    [one] = journey.charges()
    return one.amount, one.units


def test_the_rate_in_force_at_the_first_call_counts_even_if_a_newer_one_exists(journey: Journey):
    message_id = by_sms(journey)
    journey.advance(60)
    transaction(journey.engine, lambda c: sync_rates(c, [a_rate("9", valid_from=now(journey))]))
    journey.advance(60)

    assert delivered_cost(journey, message_id) == (Decimal("2.000000"), 1)


def test_a_retry_keeps_the_price_of_the_first_call(journey: Journey):
    journey.policy(a_step(Channel.SMS, ttl=3600))
    message_id = journey.send()
    journey.call(message_id, Unavailable("refused"))
    transaction(journey.engine, lambda c: sync_rates(c, [a_rate("9", valid_from=now(journey))]))
    journey.advance(2)
    journey.tick()
    journey.call(message_id, Accepted())

    assert delivered_cost(journey, message_id)[0] == Decimal(2)


def test_a_rate_that_was_added_is_used_at_once(journey: Journey):
    first = by_sms(journey)
    journey.deliver(first)
    transaction(journey.engine, lambda c: sync_rates(c, [a_rate("9", valid_from=now(journey))]))
    second = by_sms(journey)
    journey.deliver(second)

    assert [one.amount for one in journey.charges()] == [Decimal(2), Decimal(9)]


def test_a_rate_whose_transaction_ended_last_is_seen_like_any_other(journey: Journey):
    """Ids are given at the insert: a lower id may become visible after a higher one."""
    with journey.engine.connect() as slow:
        sync_rates(slow, [a_rate("9", valid_from=now(journey))])
        transaction(
            journey.engine,
            lambda c: sync_rates(c, [a_rate("1", prefix="+4", valid_from=now(journey))]),
        )
        first = by_sms(journey)
        journey.deliver(first)
        slow.commit()
    second = by_sms(journey)
    journey.deliver(second)

    assert [one.amount for one in journey.charges()] == [Decimal(2), Decimal(9)]


@pytest.mark.parametrize(
    ("to", "cost"), [("+79161234567", "2.00"), ("+77012345678", "5.20"), ("+375291234567", "8.40")]
)
def test_the_longest_prefix_of_the_number_gives_the_price(journey: Journey, to: str, cost: str):
    message_id = by_sms(journey, to=to)

    assert delivered_cost(journey, message_id)[0] == Decimal(cost)


@pytest.mark.parametrize(
    ("words", "units"), [("x" * 160, 1), ("x" * 161, 2), ("я" * 70, 1), ("я" * 141, 3)]
)
def test_a_rate_by_segments_is_multiplied_by_them(journey: Journey, words: str, units: int):
    message_id = by_sms(journey, text=words)

    assert delivered_cost(journey, message_id) == (Decimal("2.00") * units, units)


def test_segments_are_counted_with_every_place_filled(journey: Journey):
    message_id = by_sms(journey, text="#name#", variables={"name": "я" * 71})

    assert delivered_cost(journey, message_id)[1] == 2


@pytest.mark.parametrize("words", ["я" * 71, "x" * 161])
def test_a_message_from_before_segments_were_counted_is_priced_by_its_words(
    journey: Journey, words: str
):
    message_id = by_sms(journey, text=words)
    forget_the_count(journey, message_id)

    assert delivered_cost(journey, message_id) == (Decimal("4.00"), 2)


def test_words_that_were_counted_are_not_needed_for_the_price(journey: Journey):
    message_id = by_sms(journey, text="я" * 71)
    journey.change("UPDATE cascade.messages SET content = '\\x00' WHERE id = :id", id=message_id)

    assert delivered_cost(journey, message_id) == (Decimal("4.00"), 2)


def test_a_channel_that_is_billed_by_segments_counts_its_own_words(journey: Journey):
    message_id = by_viber(journey, text="я" * 141, texts={"sms": "я"})
    rate = a_rate("5", valid_from=LONG_AGO, prefix="+79", account="devino-viber", channel="viber")
    transaction(journey.engine, lambda c: sync_rates(c, [rate]))

    assert delivered_cost(journey, message_id) == (Decimal("15.00"), 3)


def test_a_rate_by_message_does_not_count_segments(journey: Journey):
    message_id = journey.send(text="я" * 300)
    journey.call(message_id, Accepted())

    assert delivered_cost(journey, message_id) == (Decimal("0.30"), 1)


def test_without_a_rate_the_delivery_is_booked_unrated_with_an_alert(
    journey: Journey, caplog: pytest.LogCaptureFixture
):
    message_id = by_sms(journey, to="+4915112345678")

    assert delivered_cost(journey, message_id) == (None, 1)

    assert "unrated" in caplog.text
    assert "15112345678" not in caplog.text
    assert journey.message(message_id).state == "delivered"
    assert journey.cascade.status(message_id).cost == {}


def test_a_charge_says_when_the_delivery_was_and_by_which_rate(journey: Journey):
    message_id = by_sms(journey)
    journey.deliver(message_id)

    [one] = journey.charges()
    rate = journey.row("SELECT * FROM cascade.rates WHERE id = :id", id=one.rate_id)
    attempt = journey.attempt(message_id)
    assert (rate.account, rate.prefix, rate.price) == ("smsc", "+7", Decimal(2))
    assert one.occurred_at == attempt.delivered_at
    assert one.booked_at >= one.occurred_at


def test_only_what_was_delivered_is_charged(journey: Journey):
    for _ in range(3):
        by_sms(journey)
    journey.advance(7300)
    journey.tick()

    assert journey.charges() == []


def test_an_attempt_is_charged_once_however_often_it_is_booked(journey: Journey):
    message_id = by_sms(journey)
    journey.deliver(message_id)
    attempt_id = journey.attempt(message_id).id

    for _ in range(2):
        journey.ledger.store.transaction(lambda t: charge(t, journey.ledger, [attempt_id]))

    assert len(journey.charges()) == 1


def test_a_price_that_nobody_can_find_out_holds_up_no_delivery(
    journey: Journey, caplog: pytest.LogCaptureFixture
):
    message_id = by_sms(journey)
    journey.change("UPDATE cascade.messages SET recipient = '\\x00' WHERE id = :id", id=message_id)

    assert delivered_cost(journey, message_id) == (None, 1)
    assert "unrated" in caplog.text


def test_units_are_those_of_the_words_that_the_channel_was_given(journey: Journey):
    message_id = by_sms(journey, text="я" * 300, texts={"sms": "я" * 71})

    assert delivered_cost(journey, message_id) == (Decimal(4), 2)


def instead(journey: Journey, message_id: uuid.UUID) -> tuple[Decimal | None, str | None]:
    journey.deliver(message_id)
    [one] = journey.charges()
    return one.sms_amount, one.sms_currency


def by_viber(journey: Journey, *more: Step, **content: Any) -> uuid.UUID:
    journey.policy(a_step(Channel.VIBER), *more)
    message_id = journey.send(**content)
    journey.call(message_id, Accepted())
    return message_id


def test_a_delivery_books_what_an_sms_of_the_words_for_sms_would_have_cost(journey: Journey):
    message_id = by_viber(journey, a_step(Channel.SMS), text="x", texts={"sms": "я" * 71})

    assert instead(journey, message_id) == (Decimal("4.00"), "RUB")


def test_an_sms_costs_itself_instead_whichever_account_sent_it(journey: Journey):
    message_id = by_sms(journey)
    rate = a_rate("0.05", valid_from=LONG_AGO, account="other-sms", currency="EUR")
    transaction(journey.engine, lambda c: sync_rates(c, [rate]))
    journey.change("UPDATE cascade.attempts SET account = 'other-sms'")

    assert instead(journey, message_id) == (Decimal("0.05"), "EUR")


def test_the_sms_is_priced_by_the_account_of_the_policys_own_step(journey: Journey):
    other = replace(a_step(Channel.SMS), account="other-sms")
    message_id = by_viber(journey, other)
    rate = a_rate("0.05", valid_from=LONG_AGO, account="other-sms", currency="EUR")
    transaction(journey.engine, lambda c: sync_rates(c, [rate]))

    assert instead(journey, message_id) == (Decimal("0.05"), "EUR")


def test_without_an_sms_step_the_account_is_that_of_the_channel(journey: Journey):
    assert instead(journey, by_viber(journey)) == (Decimal("2.00"), "RUB")


def test_without_an_sms_account_there_is_nothing_to_compare_with(journey: Journey):
    message_id = by_viber(journey)
    journey.change("DELETE FROM cascade.channels")

    assert instead(journey, message_id) == (None, None)


def test_without_a_rate_for_sms_the_delivery_is_charged_and_not_compared(
    journey: Journey, caplog: pytest.LogCaptureFixture
):
    rate = a_rate("1", prefix="+49", valid_from=LONG_AGO, channel=Channel.VIBER)
    rate = replace(rate, account="devino-viber", unit=PriceUnit.MESSAGE)
    transaction(journey.engine, lambda c: sync_rates(c, [rate]))
    message_id = by_viber(journey, to="+4915112345678")

    assert instead(journey, message_id) == (None, None)
    assert [one.amount for one in journey.charges()] == [Decimal(1)]
    assert "unrated" not in caplog.text


def test_the_sms_has_the_price_of_the_moment_of_the_first_call(journey: Journey):
    message_id = by_viber(journey)
    journey.advance(1)
    transaction(journey.engine, lambda c: sync_rates(c, [a_rate("9", valid_from=now(journey))]))

    assert instead(journey, message_id) == (Decimal("2.00"), "RUB")


def garbled(journey: Journey, message_id: uuid.UUID) -> bytes:
    return b"\x00"


def without_a_value(journey: Journey, message_id: uuid.UUID) -> bytes:
    return seal_content(journey.ledger.keyring, message_id, Content(text="#name#"))


@pytest.mark.parametrize("content", [garbled, without_a_value])
def test_words_that_cannot_be_read_hold_up_neither_delivery_nor_charge(
    journey: Journey, content: Callable[[Journey, uuid.UUID], bytes]
):
    message_id = by_viber(journey)
    journey.change(
        "UPDATE cascade.messages SET content = :content WHERE id = :id",
        id=message_id,
        content=content(journey, message_id),
    )
    forget_the_count(journey, message_id)

    assert instead(journey, message_id) == (None, None)
    assert [one.amount for one in journey.charges()] == [Decimal("1.20")]
    assert journey.message(message_id).state == "delivered"
