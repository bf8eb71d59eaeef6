from __future__ import annotations

import datetime as dt
import time

from decimal import Decimal
from pathlib import Path

import phonenumbers
import pytest

from hypothesis import given, settings, strategies as st

from cascade.domain.errors import ConfigurationError
from cascade.domain.money import Amount, PriceUnit, Rate, RateBook, charge, read_rates
from cascade.domain.state import Channel


HEADER = "account,channel,prefix,unit,price,currency,valid_from"
GOOD = "smsc,sms,+7,segment,2.00,RUB,2026-01-01T00:00:00Z"
UNREADABLE = "cannot be read; write for example"
UNKNOWN = "is not known; use one of"
TIMELESS = "is not a moment with its zone; write for example 2026-01-01T00:00:00Z"
RATES_FILE = Path(__file__).parents[2] / "config" / "rates.csv"

moments = st.datetimes(dt.datetime(2025, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001  # Hypothesis wants naive bounds


def day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{text}T00:00:00Z")


def sms_rate(prefix: str, price: str = "2.00", since: str = "2026-01-01") -> Rate:
    return Rate(
        account="smsc",
        channel=Channel.SMS,
        prefix=prefix,
        unit=PriceUnit.SEGMENT,
        price=Decimal(price),
        currency="RUB",
        valid_from=day(since),
    )


def found(*rates: Rate, phone: str = "+77011234567", at: str = "2026-06-01") -> Rate | None:
    return RateBook(rates).rate_for(account="smsc", channel=Channel.SMS, phone=phone, at=day(at))


def test_the_longest_prefix_wins() -> None:
    russia, kazakhstan = sms_rate("+7"), sms_rate("+77")
    assert found(kazakhstan, russia) == kazakhstan
    assert found(kazakhstan, russia, phone="+79161234567") == russia


def test_the_latest_rate_in_force_wins_and_holds_from_its_first_moment() -> None:
    old, new = sms_rate("+7", "1.85", "2025-07-01"), sms_rate("+7", "2.00", "2026-01-01")
    assert found(new, old, at="2025-12-31") == old
    assert found(new, old, at="2026-01-01") == new


def test_a_longer_prefix_counts_only_once_it_is_in_force() -> None:
    russia, later = sms_rate("+7"), sms_rate("+77", since="2027-01-01")
    assert found(russia, later) == russia


def test_there_is_no_rate_for_another_country_account_channel_or_an_earlier_time() -> None:
    rate = sms_rate("+7")
    assert found(rate, phone="+375291234567") is None
    assert found(rate, at="2025-12-31") is None
    book, at = RateBook([rate]), day("2026-06-01")
    phone = "+79161234567"
    assert book.rate_for(account="other", channel=Channel.SMS, phone=phone, at=at) is None
    assert book.rate_for(account="smsc", channel=Channel.VK, phone=phone, at=at) is None


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(st.tuples(st.sampled_from(["+7", "+77", "+770", "+3"]), moments), max_size=12),
    moments,
)
def test_the_index_agrees_with_a_search_through_all_rates(
    rows: list[tuple[str, dt.datetime]], at: dt.datetime
) -> None:
    phone = "+77011234567"
    matching = [row for row in rows if phone.startswith(row[0]) and row[1] <= at]
    rates = [
        Rate(
            account="smsc",
            channel=Channel.SMS,
            prefix=prefix,
            unit=PriceUnit.MESSAGE,
            price=Decimal(1),
            currency="RUB",
            valid_from=since,
        )
        for prefix, since in rows
    ]
    rate = RateBook(rates).rate_for(account="smsc", channel=Channel.SMS, phone=phone, at=at)
    expected = max(matching, key=lambda row: (len(row[0]), row[1]), default=None)
    assert (rate and (rate.prefix, rate.valid_from)) == expected


def test_a_charge_is_exact_to_six_places() -> None:
    amount = charge(sms_rate("+7", "0.100001"), units=3)
    assert amount == Amount(Decimal("0.300003"), "RUB")
    assert str(charge(sms_rate("+7"), units=2).value) == "4.000000"


def test_only_a_rate_per_segment_counts_segments() -> None:
    per_segment = sms_rate("+7")
    per_message = Rate(
        account="notify-vk",
        channel=Channel.VK,
        prefix="+7",
        unit=PriceUnit.MESSAGE,
        price=Decimal("0.30"),
        currency="RUB",
        valid_from=day("2026-01-01"),
    )
    assert per_segment.units(segments=3) == 3
    assert per_message.units(segments=3) == 1


def test_a_row_becomes_a_rate() -> None:
    assert read_rates([HEADER, GOOD]) == [sms_rate("+7")]


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        (GOOD.replace("smsc", ""), f"account: '' {UNREADABLE} notify-vk"),
        (GOOD.replace("sms,", "fax,"), f"channel: 'fax' {UNKNOWN} vk, ok, viber, whatsapp, sms"),
        (GOOD.replace("+7", "7"), f"prefix: '7' {UNREADABLE} +7"),
        (GOOD.replace("+7", "+7" + 15 * "1"), f"prefix: '+7{15 * '1'}' {UNREADABLE} +7"),
        (GOOD.replace("segment", "letter"), f"unit: 'letter' {UNKNOWN} message, segment"),
        (GOOD.replace("2.00", "-2"), f"price: '-2' {UNREADABLE} 0.30"),
        (GOOD.replace("2.00", "0.0000001"), f"price: '0.0000001' {UNREADABLE} 0.30"),
        (GOOD.replace("2.00", "123456789"), f"price: '123456789' {UNREADABLE} 0.30"),
        (GOOD.replace("2.00", "NaN"), f"price: 'NaN' {UNREADABLE} 0.30"),
        (GOOD.replace("RUB", "rub"), f"currency: 'rub' {UNREADABLE} RUB"),
        (GOOD.replace("Z", ""), f"valid_from: '2026-01-01T00:00:00' {TIMELESS}"),
        ("smsc,sms,+7,segment,2.00,RUB", f"valid_from: '' {TIMELESS}"),
    ],
)
def test_a_bad_row_is_refused_by_line_and_field_with_a_cure(row: str, refusal: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_rates([HEADER, row], source="prices.csv")
    assert str(error.value) == f"prices.csv, line 2, {refusal}"


def test_a_row_with_more_values_than_columns_is_refused() -> None:
    with pytest.raises(ConfigurationError) as error:
        read_rates([HEADER, GOOD + ",1"])
    assert str(error.value) == "rates.csv, line 2: more values than columns; give 7 values"


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (GOOD.replace("2.00", "12345678.123456"), Decimal("12345678.123456")),
        (GOOD.replace("2.00", "0"), Decimal(0)),
    ],
)
def test_the_dearest_and_the_cheapest_price_that_the_books_hold_can_be_read(
    row: str, value: Decimal
) -> None:
    [rate] = read_rates([HEADER, row])
    assert rate.price == value


def test_a_moment_is_kept_in_utc_whatever_zone_it_was_written_in_and_this_machine_is_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    [rate] = read_rates([HEADER, GOOD.replace("00:00:00Z", "03:00:00+03:00")])
    monkeypatch.undo()
    time.tzset()
    assert rate.valid_from.isoformat() == "2026-01-01T00:00:00+00:00"


def test_a_rate_given_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError) as error:
        read_rates([HEADER, GOOD, GOOD.replace("2.00", "3.00")])
    said = "rates.csv, line 3: this rate was given above; keep one of the two"
    assert str(error.value) == said


@pytest.mark.parametrize("lines", [[], [GOOD], [HEADER.replace("price", "cost"), GOOD]])
def test_a_file_without_the_header_is_refused(lines: list[str]) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_rates(lines)
    assert str(error.value) == f"rates.csv, line 1: not the header of rates; write {HEADER}"


def test_the_shipped_rates_can_be_read_and_price_every_channel_for_every_prefix() -> None:
    rates = read_rates(RATES_FILE.read_text().splitlines(), source=RATES_FILE.name)
    prefixes = {rate.prefix for rate in rates}
    assert {(rate.channel, rate.prefix) for rate in rates} == {
        (channel, prefix) for channel in Channel for prefix in prefixes
    }


@pytest.mark.parametrize(
    ("phone", "region", "prefix"),
    [("+79161234567", "RU", "+7"), ("+77011234567", "KZ", "+77"), ("+375291234567", "BY", "+375")],
)
def test_the_shipped_prefixes_mean_the_countries_of_the_numbering_plan(
    phone: str, region: str, prefix: str
) -> None:
    book = RateBook(read_rates(RATES_FILE.read_text().splitlines()))
    rate = book.rate_for(account="smsc", channel=Channel.SMS, phone=phone, at=day("2026-06-01"))
    assert rate is not None
    assert rate.prefix == prefix
    assert phonenumbers.region_code_for_number(phonenumbers.parse(phone)) == region
