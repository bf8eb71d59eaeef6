from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import Connection, Engine, event, text

from cascade.channels.base import Accepted, Rejected, Unsupported
from cascade.domain.money import PriceUnit, Rate
from cascade.domain.report import (
    AttemptFigures,
    ChannelFigures,
    Costs,
    Dimension,
    Group,
    Key,
    MessageFigures,
    Money,
    MoneyBy,
    Question,
    Report,
    report,
)
from cascade.domain.state import AttemptState, Channel, MessageState, Success
from cascade.services.report import answer
from cascade.storage.charges import sync_rates
from cascade.storage.database import transaction
from cascade.storage.report import figures
from tests.services.journey import ACCOUNTS, Journey, a_step


pytestmark = pytest.mark.integration

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
LONG_AHEAD = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)


def question(*by: str, timezone: ZoneInfo = UTC, **more: Any) -> Question:
    return Question(
        **{"since": LONG_AGO, "until": LONG_AHEAD}
        | more
        | {"timezone": timezone, "by": frozenset(map(Dimension, by))}
    )


def asked(journey: Journey, *by: str, **more: Any) -> Report:
    return answer(journey.engine, question(*by, **more))


def total(journey: Journey, **more: Any) -> Group:
    return asked(journey, **more).total


def channel(group: Group, name: str) -> ChannelFigures:
    [one] = [one for one in group.channels if one.channel == name]
    return one


def group(found: Report, **key: Any) -> Group:
    [one] = [one for one in found.groups if one.key == Key(**key)]
    return one


def viber(journey: Journey, **more: Any) -> uuid.UUID:
    """A message that Viber has taken."""
    journey.policy(a_step(Channel.VIBER))
    message_id = journey.send(**more)
    journey.call(message_id, Accepted())
    return message_id


def delivered(journey: Journey, **more: Any) -> uuid.UUID:
    message_id = viber(journey, **more)
    journey.deliver(message_id)
    return message_id


def at(journey: Journey, message_id: uuid.UUID, moment: str) -> None:
    """As if it had been accepted then."""
    journey.change(
        "UPDATE cascade.messages SET created_at = :moment WHERE id = :id",
        moment=moment,
        id=message_id,
    )


def booked(journey: Journey, message_id: uuid.UUID, moment: str) -> None:
    journey.change(
        "UPDATE cascade.charges SET booked_at = :moment WHERE attempt_id = :id",
        moment=moment,
        id=journey.attempt(message_id).id,
    )


def a_rate(to: Channel, price: str, currency: str, *, prefix: str) -> Rate:
    return Rate(
        account=ACCOUNTS[to],
        channel=to,
        prefix=prefix,
        unit=PriceUnit.MESSAGE,
        price=Decimal(price),
        currency=currency,
        valid_from=LONG_AGO,
    )


def add_rates(journey: Journey, *rates: Rate) -> None:
    transaction(journey.engine, lambda c: sync_rates(c, rates))


def expire(journey: Journey) -> None:
    journey.advance(62)
    journey.tick()


def test_a_period_without_messages_has_figures_too_and_no_rates(journey: Journey):
    found = asked(journey, "sender")

    assert found.total == Group(
        key=Key(), messages=MessageFigures(), costs=found.total.costs, channels=()
    )
    assert found.total.messages.reach.ratio is None
    assert found.total.messages.delay.p50 is None
    assert found.total.costs.money == ()
    assert found.groups == ()


def test_the_outcomes_of_a_channel_add_up_to_its_attempts(journey: Journey):
    delivered(journey)
    journey.hear_of(delivered(journey), AttemptState.READ)
    journey.hear_of(viber(journey), AttemptState.UNDELIVERABLE)
    journey.collect()
    viber(journey)
    expire(journey)
    journey.cascade.cancel(journey.send())
    journey.call(journey.send(), Unsupported("1"))
    journey.call(journey.send(), Rejected("2"))
    viber(journey)
    journey.send()

    [one] = total(journey).channels

    assert one.attempts == AttemptFigures(
        attempts=9,
        called=7,
        sent=5,
        delivered=2,
        read=1,
        unsupported=1,
        rejected=1,
        expired=1,
        undeliverable=1,
        cancelled=1,
        waiting=2,
        first=2,
        delay=one.attempts.delay,
    )


def test_what_expired_before_its_call_is_told_apart(journey: Journey):
    viber(journey)
    journey.policy(a_step(Channel.VIBER, max_wait=30))
    journey.send()
    expire(journey)

    attempts = channel(total(journey), "viber").attempts

    assert (attempts.expired, attempts.in_queue, attempts.called) == (2, 1, 1)


def test_what_was_given_up_as_a_rate_left_no_time_for_it_expired_before_its_call(
    journey: Journey,
):
    journey.policy(a_step(Channel.VIBER))
    ids = [journey.attempt(journey.send()).id]
    journey.ledger.store.transaction(lambda t: t.give_up(ids))
    journey.tick()

    attempts = channel(total(journey), "viber").attempts

    assert (attempts.expired, attempts.in_queue, attempts.called) == (1, 1, 0)


def test_a_step_that_no_time_is_left_for_is_skipped(journey: Journey):
    journey.policy(a_step(Channel.VK), a_step(Channel.VIBER, ttl_minimum=600))
    message_id = journey.send(deadline=journey.row("SELECT now() + interval '5 min'")[0])
    journey.call(message_id, Unsupported("1"))

    assert channel(total(journey), "viber").attempts == AttemptFigures(attempts=1, skipped=1)


def test_reach_is_of_the_accepted_messages_and_holds_both_numbers(journey: Journey):
    for _ in range(3):
        delivered(journey)
    journey.call(journey.send(), Rejected("2"))

    messages = total(journey).messages

    assert (messages.reach.part, messages.reach.whole) == (3, 4)
    assert messages.reach.ratio == Decimal("0.75")
    assert (messages.accepted, messages.delivered, messages.undelivered) == (4, 3, 1)
    assert messages.overlaps == 0


def test_a_channels_share_is_of_the_messages_that_were_reached(journey: Journey):
    for _ in range(3):
        delivered(journey)
    journey.policy(a_step(Channel.SMS))
    journey.call(journey.send(), Rejected("2"))
    by_sms = journey.send()
    journey.call(by_sms, Accepted())
    journey.deliver(by_sms)

    shares = {one.channel: one.share for one in total(journey).channels}

    assert [(one.part, one.whole) for one in shares.values()] == [(3, 4), (1, 4)]
    assert list(shares) == ["viber", "sms"]


def test_seconds_to_deliver_run_from_the_acceptance_and_from_the_call(journey: Journey):
    start = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    for seconds in range(1, 22):
        message_id = delivered(journey)
        at(journey, message_id, start.isoformat())
        journey.change(
            "UPDATE cascade.attempts SET delivered_at = :then, started_at = :then - interval '0.5 s'"
            " WHERE message_id = :id",
            then=start + dt.timedelta(seconds=seconds),
            id=message_id,
        )

    found = total(journey)

    delay = found.messages.delay
    assert (delay.of, delay.p50, delay.p95) == (21, 11, 20)
    assert channel(found, "viber").attempts.delay.p95 == pytest.approx(0.5)


def test_a_message_that_waited_for_its_time_was_not_slow(journey: Journey):
    message_id = delivered(journey)
    journey.change(
        "UPDATE cascade.messages m SET created_at = a.delivered_at - interval '1 day',"
        " send_at = a.delivered_at - interval '3 s'"
        " FROM cascade.attempts a WHERE a.message_id = m.id AND m.id = :id",
        id=message_id,
    )

    assert total(journey).messages.delay.p50 == pytest.approx(3)


def test_an_overlap_diminishes_what_its_message_saved(journey: Journey):
    journey.policy(a_step(Channel.VK), a_step(Channel.VIBER))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    expire(journey)
    journey.call(message_id, Accepted())
    journey.deliver(message_id, step=1)
    journey.deliver(message_id, step=0)

    found = total(journey)

    assert (found.messages.overlaps, found.messages.reached, found.late) == (1, 1, 1)
    [money] = found.costs.money
    assert (money.cost, money.sms_cost, money.saved) == (
        Decimal("1.5"),
        Decimal(2),
        Decimal("0.5"),
    )
    assert money.saved_share.ratio == Decimal("0.25")
    assert [one.attempts.first for one in found.channels] == [0, 1]
    saved = {one.channel: one.costs.money[0].saved for one in found.channels}
    assert saved == {"vk": Decimal("-0.3"), "viber": Decimal("0.8")}


def test_delivered_but_not_read_is_reached_without_the_success_that_was_asked_for(
    journey: Journey,
):
    journey.policy(
        a_step(Channel.VIBER, success=Success.READ), a_step(Channel.SMS, success=Success.DELIVERED)
    )
    unread, seen = journey.send(), journey.send()
    for one in (unread, seen):
        journey.call(one, Accepted())
        journey.deliver(one)
    journey.hear_of(seen, AttemptState.READ)
    journey.collect()

    assert total(journey).messages.reached == 2
    assert total(journey).messages.in_progress == 1

    expire(journey)
    journey.call(unread, Rejected("2"))

    found = total(journey)
    assert (found.messages.delivered, found.messages.success_met) == (2, 1)
    assert channel(found, "viber").attempts.read == 1
    assert channel(found, "viber").attempts.first == 2


def test_a_late_delivery_promotes_its_message_and_is_counted_as_late(journey: Journey):
    message_id = viber(journey)
    expire(journey)
    assert total(journey).messages.undelivered == 1

    journey.deliver(message_id)

    found = total(journey)
    assert (found.messages.undelivered, found.messages.delivered) == (0, 1)
    assert (found.messages.reached, found.late) == (1, 1)


def test_after_the_late_window_a_delivery_still_reaches_and_costs(journey: Journey):
    message_id = viber(journey)
    expire(journey)
    journey.advance(73 * 3600)
    journey.deliver(message_id)

    found = total(journey)

    assert (found.messages.undelivered, found.messages.reached, found.late) == (1, 1, 1)
    assert found.costs.money[0].cost == Decimal("1.20")


def test_what_was_not_delivered_saves_nothing_and_costs_nothing(journey: Journey):
    viber(journey)
    expire(journey)

    assert total(journey).costs.money == ()


def test_currencies_are_never_added(journey: Journey):
    add_rates(
        journey,
        a_rate(Channel.VIBER, "0.05", "EUR", prefix="+49"),
        a_rate(Channel.SMS, "0.11", "EUR", prefix="+49"),
    )
    delivered(journey)
    for _ in range(2):
        delivered(journey, to="+4915112345678")

    assert total(journey).costs.money == (
        Money(
            currency="EUR",
            charges=2,
            cost=Decimal("0.10"),
            compared=2,
            compared_cost=Decimal("0.10"),
            sms_cost=Decimal("0.22"),
        ),
        Money(
            currency="RUB",
            charges=1,
            cost=Decimal("1.20"),
            compared=1,
            compared_cost=Decimal("1.20"),
            sms_cost=Decimal(2),
        ),
    )


def test_a_price_in_another_currency_than_that_of_sms_is_not_compared(journey: Journey):
    add_rates(
        journey,
        a_rate(Channel.VIBER, "0.05", "EUR", prefix="+49"),
        a_rate(Channel.SMS, "9", "RUB", prefix="+49"),
    )
    delivered(journey, to="+4915112345678")

    [money] = total(journey).costs.money

    assert (money.currency, money.charges, money.cost) == ("EUR", 1, Decimal("0.05"))
    assert (money.compared, money.saved, money.saved_share.ratio) == (0, Decimal(0), None)


def test_a_delivery_without_a_rate_is_counted_and_neither_costs_nor_saves(journey: Journey):
    add_rates(journey, a_rate(Channel.SMS, "0.11", "EUR", prefix="+49"))
    delivered(journey, to="+4915112345678")

    costs = total(journey).costs

    assert (costs.unrated, costs.money) == (1, ())


def test_groups_are_by_what_is_asked_for(journey: Journey):
    delivered(journey, sender="shop")
    delivered(journey, sender="bank")
    viber(journey, sender="bank")

    found = asked(journey, "sender", "policy", "channel")

    assert [one.key for one in found.groups] == [
        Key(sender="bank", policy="default"),
        Key(sender="shop", policy="default"),
    ]
    bank = group(found, sender="bank", policy="default")
    assert (bank.messages.accepted, bank.messages.reached) == (2, 1)
    assert channel(bank, "viber").attempts.sent == 2
    assert bank.costs.money[0].cost == Decimal("1.20")


def test_only_the_messages_of_a_sender_and_a_policy(journey: Journey):
    delivered(journey, sender="shop")
    delivered(journey, sender="bank")
    journey.policy(a_step(Channel.VIBER), name="other")
    journey.send(sender="shop", policy="other")

    shop = total(journey, sender="shop", policy="default")

    assert (shop.messages.accepted, shop.costs.money[0].cost) == (1, Decimal("1.20"))
    assert total(journey, policy="other").messages.accepted == 1
    assert total(journey, sender="nobody").messages.accepted == 0
    assert total(journey, sender="shop", money_by=MoneyBy.BOOKED, policy="other").costs.money == ()


def test_versions_of_a_policy_are_one_policy(journey: Journey):
    delivered(journey)
    journey.policy(a_step(Channel.SMS))
    journey.send()

    [one] = asked(journey, "policy").groups

    assert (one.key.policy, one.messages.accepted) == ("default", 2)


def test_a_period_holds_its_first_moment_and_not_its_last(journey: Journey):
    for moment in ("2026-02-28 23:59:59+00", "2026-03-01 00:00+00", "2026-04-01 00:00+00"):
        at(journey, delivered(journey), moment)

    found = total(
        journey,
        since=dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        until=dt.datetime(2026, 4, 1, tzinfo=dt.UTC),
    )

    assert found.messages.accepted == 1
    assert found.costs.money[0].charges == 1


def test_by_day_every_day_has_a_group_though_nothing_happened_on_it(journey: Journey):
    at(journey, delivered(journey), "2026-03-02 12:00+00")

    found = asked(
        journey,
        "day",
        since=dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        until=dt.datetime(2026, 3, 4, tzinfo=dt.UTC),
    )

    assert [(one.key.day, one.messages.accepted) for one in found.groups] == [
        (dt.date(2026, 3, 1), 0),
        (dt.date(2026, 3, 2), 1),
        (dt.date(2026, 3, 3), 0),
    ]


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        # Summer time ends: this day has 25 hours.
        ("2026-10-24 21:59+00", "2026-10-24"),
        ("2026-10-24 22:00+00", "2026-10-25"),
        ("2026-10-25 22:59+00", "2026-10-25"),
        ("2026-10-25 23:00+00", "2026-10-26"),
        # It begins: 23 hours.
        ("2026-03-28 22:59+00", "2026-03-28"),
        ("2026-03-28 23:00+00", "2026-03-29"),
        ("2026-03-29 21:59+00", "2026-03-29"),
        ("2026-03-29 22:00+00", "2026-03-30"),
    ],
)
def test_days_are_cut_in_the_time_zone_though_one_has_25_hours(
    journey: Journey, moment: str, day: str
):
    at(journey, delivered(journey), moment)

    found = asked(journey, "day", "sender", timezone=BERLIN)

    [one] = found.groups
    assert one.key.day == dt.date.fromisoformat(day)
    assert one.costs.money[0].charges == 1


def test_money_is_of_the_messages_accepted_in_the_period_or_booked_in_it(journey: Journey):
    for accepted, when in (
        ("2026-03-31 23:00+00", "2026-03-31 23:00+00"),
        ("2026-03-31 23:59+00", "2026-04-01 00:01+00"),
    ):
        message_id = delivered(journey)
        at(journey, message_id, accepted)
        booked(journey, message_id, when)

    march, april = dt.datetime(2026, 3, 1, tzinfo=dt.UTC), dt.datetime(2026, 4, 1, tzinfo=dt.UTC)

    def charges(since: dt.datetime, until: dt.datetime, money_by: MoneyBy) -> int:
        found = total(journey, since=since, until=until, money_by=money_by)
        return sum(one.charges for one in found.costs.money)

    assert charges(march, april, MoneyBy.ACCEPTED) == 2
    assert charges(april, LONG_AHEAD, MoneyBy.ACCEPTED) == 0
    assert charges(march, april, MoneyBy.BOOKED) == 1
    assert charges(april, LONG_AHEAD, MoneyBy.BOOKED) == 1


def test_money_that_is_booked_for_messages_of_another_period_has_a_group(journey: Journey):
    message_id = delivered(journey, sender="shop")
    at(journey, message_id, "2026-03-31 23:59+00")
    booked(journey, message_id, "2026-04-01 00:01+00")

    found = asked(
        journey,
        "day",
        "sender",
        since=dt.datetime(2026, 4, 1, tzinfo=dt.UTC),
        money_by=MoneyBy.BOOKED,
    )

    [one] = found.groups
    assert one.key == Key(day=dt.date(2026, 4, 1), sender="shop")
    assert one.messages.accepted == 0
    assert channel(one, "viber").costs.money[0].saved == Decimal("0.80")
    assert channel(one, "viber").attempts == AttemptFigures()


def test_a_late_overlap_costs_the_month_in_which_it_is_booked(journey: Journey):
    """So the books of the month that is over stay as they were."""
    journey.policy(a_step(Channel.VK), a_step(Channel.VIBER))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    expire(journey)
    journey.call(message_id, Accepted())
    journey.deliver(message_id, step=1)
    journey.change("UPDATE cascade.charges SET booked_at = '2026-03-31 23:00+00'")

    def saved(since: str, until: str) -> Decimal:
        period = {
            "since": dt.datetime.fromisoformat(since),
            "until": dt.datetime.fromisoformat(until),
        }
        [money] = total(journey, money_by=MoneyBy.BOOKED, **period).costs.money
        return money.saved

    before = saved("2026-03-01T00:00Z", "2026-04-01T00:00Z")
    journey.deliver(message_id, step=0)

    assert saved("2026-03-01T00:00Z", "2026-04-01T00:00Z") == before == Decimal("0.80")
    assert saved("2026-04-01T00:00Z", "2040-01-01T00:00Z") == Decimal("-0.30")


def test_what_happens_meanwhile_is_in_all_the_figures_or_in_none(journey: Journey):
    delivered(journey)
    late = viber(journey)
    done: list[str] = []

    def deliver(_connection, _cursor, statement, *_rest):
        if "first_at" in statement and not done:
            done.append("the messages are being counted")
            journey.deliver(late)

    event.listen(journey.engine, "after_cursor_execute", deliver)
    found = total(journey)
    event.remove(journey.engine, "after_cursor_execute", deliver)

    assert done
    assert found.messages.reached == 1
    assert channel(found, "viber").attempts.delivered == 1
    assert found.costs.money[0].charges == 1
    assert total(journey).costs.money[0].charges == 2


# One message of the property below: what its figures depend on.
@dataclass(frozen=True)
class Told:
    hour: int  # of its acceptance
    sender: str
    policy: int
    state: MessageState
    attempts: list[tuple[AttemptState, int | None, str | None, str | None]]


an_attempt = st.tuples(
    st.sampled_from(AttemptState),
    st.none() | st.integers(0, 5),  # minutes to its delivery
    st.sampled_from(["RUB", "EUR", None]),  # of its charge
    st.sampled_from(["RUB", "EUR", None]),  # of an SMS instead
)
a_message = st.builds(
    Told,
    hour=st.integers(0, 80),
    sender=st.sampled_from(["bank", "shop"]),
    policy=st.integers(0, 1),
    state=st.sampled_from(MessageState),
    attempts=st.lists(an_attempt, min_size=1, max_size=3),
)


def write(connection: Connection, told: Iterable[Told]) -> None:
    policies = [
        connection.execute(
            text(
                "INSERT INTO cascade.policies (name, version, steps)"
                " VALUES (:name, 99, '[]') RETURNING id"
            ),
            {"name": name},
        ).scalar_one()
        for name in ("default", "code")
    ]
    rate = connection.execute(text("SELECT min(id) FROM cascade.rates")).scalar_one()
    for one in told:
        _write_message(connection, one, policies[one.policy], rate)


def _write_message(connection: Connection, one: Told, policy_id: int, rate: int) -> None:
    accepted = dt.datetime(2026, 3, 27, 12, tzinfo=dt.UTC) + dt.timedelta(hours=one.hour)
    values = {
        "id": uuid.uuid4(),
        "sender": one.sender,
        "policy_id": policy_id,
        "state": one.state,
        "at": accepted,
        "ended": one.state is not MessageState.IN_PROGRESS,
    }
    connection.execute(
        text("""
            INSERT INTO cascade.messages (id, sender, recipient, recipient_hash, content,
                policy_id, lane, state, deadline, created_at, ended_at)
            VALUES (:id, :sender, '', '', '', :policy_id, 'bulk', :state, :at, :at,
                CASE WHEN :ended THEN CAST(:at AS timestamptz) END)
        """),
        values,
    )
    for step, (state, minutes, currency, sms_currency) in enumerate(one.attempts):
        attempt_id = connection.execute(
            text("""
                INSERT INTO cascade.attempts (message_id, step, channel, account, state, lane,
                    ttl, ttl_minimum, expires_at, client_ref, created_at, started_at,
                    delivered_at, ended_at)
                VALUES (:id, :step, :channel, 'a', :attempt, 'bulk', 1, 1, :at, :ref, :at, :at,
                    :at + make_interval(mins => :minutes), :at)
                RETURNING id
            """),
            values
            | {
                "step": step,
                "channel": list(Channel)[step],
                "attempt": state,
                "minutes": minutes,
                "ref": str(uuid.uuid4()),
            },
        ).scalar_one()
        if minutes is None:
            continue
        connection.execute(
            text("""
                INSERT INTO cascade.charges (attempt_id, rate_id, amount, currency, units,
                    occurred_at, booked_at, sms_amount, sms_currency)
                VALUES (:id, :rate, :amount, :currency, 1, :at, :at, :sms, :sms_currency)
            """),
            {
                "id": attempt_id,
                "rate": None if currency is None else rate,
                "amount": None if currency is None else Decimal("0.1") * (step + 1),
                "currency": currency,
                "at": accepted + dt.timedelta(minutes=minutes),
                "sms": None if sms_currency is None else Decimal("0.7"),
                "sms_currency": sms_currency,
            },
        )


def summed(kind: type, found: Iterable[Any]) -> dict[str, int]:
    counts = [field.name for field in fields(kind) if field.name != "delay"]
    every = list(found)
    return {name: sum(getattr(one, name) for one in every) for name in counts}


def attempts_of(groups: Iterable[Group]) -> list[AttemptFigures]:
    return [one.attempts for each in groups for one in each.channels]


@given(
    told=st.lists(a_message, max_size=8),
    by=st.frozensets(st.sampled_from(Dimension)).filter(
        lambda by: by - {Dimension.CHANNEL}  # else there are no groups
    ),
    money_by=st.sampled_from(MoneyBy),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_groups_add_up_to_the_total(
    ledger: object,
    engine: Engine,
    told: list[Told],
    by: frozenset[Dimension],
    money_by: MoneyBy,
):
    with engine.connect() as connection:  # rolled back
        write(connection, told)
        one = question(
            *by,
            timezone=BERLIN,
            money_by=money_by,
            since=dt.datetime(2026, 3, 27, 20, tzinfo=BERLIN),
            until=dt.datetime(2026, 3, 30, 4, tzinfo=BERLIN),
        )
        found = report(one, figures(connection, one))

    whole = found.total
    assert summed(MessageFigures, [each.messages for each in found.groups]) == summed(
        MessageFigures, [whole.messages]
    )
    assert summed(AttemptFigures, attempts_of(found.groups)) == summed(
        AttemptFigures, attempts_of([whole])
    )
    assert sum((each.costs for each in found.groups), start=Costs()) == whole.costs
    for each in (*found.groups, whole):
        assert sum(one.attempts.first for one in each.channels) == each.messages.reached
        assert sum((one.costs for one in each.channels), start=Costs()) == each.costs
