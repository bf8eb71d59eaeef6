from __future__ import annotations

import datetime as dt

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from cascade.domain.report import Money, Question, Share


BERLIN = ZoneInfo("Europe/Berlin")


def test_a_share_is_exact_to_four_places_and_of_nothing_there_is_none():
    assert Share(1, 3).ratio == Decimal("0.3333")
    assert Share(Decimal("0.50"), Decimal("2.00")).ratio == Decimal("0.2500")
    assert Share(0, 0).ratio is None


def test_money_of_two_currencies_cannot_be_added():
    with pytest.raises(AssertionError, match="currencies"):
        Money(currency="RUB") + Money(currency="EUR")


@pytest.mark.parametrize(
    ("until", "days"),
    [
        (dt.datetime(2026, 10, 26, tzinfo=BERLIN), [24, 25]),
        (dt.datetime(2026, 10, 26, 0, 0, 1, tzinfo=BERLIN), [24, 25, 26]),
        (dt.datetime(2026, 10, 25, 22, 59, tzinfo=dt.UTC), [24, 25]),
    ],
)
def test_a_period_touches_its_days_though_one_has_25_hours(until: dt.datetime, days: list[int]):
    question = Question(
        since=dt.datetime(2026, 10, 24, 12, tzinfo=BERLIN), until=until, timezone=BERLIN
    )

    assert [day.day for day in question.days()] == days
