from __future__ import annotations

import datetime as dt

from zoneinfo import ZoneInfo

import pytest

from cascade.cli.period import period, zone
from cascade.domain.errors import InvalidInputError


BERLIN = ZoneInfo("Europe/Berlin")
NOW = dt.datetime(2026, 10, 26, 23, 30, tzinfo=dt.UTC)  # in Berlin it is the 27th, at 00:30


def test_without_words_it_is_today_and_the_six_days_before():
    found = period(None, None, NOW, BERLIN)

    assert found.since == dt.datetime(2026, 10, 21, tzinfo=BERLIN)
    assert found.until == NOW


@pytest.mark.parametrize(
    ("since", "moment"),
    [
        ("1d", dt.datetime(2026, 10, 27, tzinfo=BERLIN)),
        # Two days after the end of summer time, whose day had 25 hours.
        ("3d", dt.datetime(2026, 10, 25, tzinfo=BERLIN)),
        ("12h", dt.datetime(2026, 10, 26, 11, 30, tzinfo=dt.UTC)),
        ("30m", dt.datetime(2026, 10, 26, 23, 0, tzinfo=dt.UTC)),
        ("2026-10-01", dt.datetime(2026, 9, 30, 22, tzinfo=dt.UTC)),
        ("2026-10-01T12:00+00:00", dt.datetime(2026, 10, 1, 12, tzinfo=dt.UTC)),
        ("2026-10-01T12:00:00Z", dt.datetime(2026, 10, 1, 12, tzinfo=dt.UTC)),
    ],
)
def test_a_beginning_is_a_duration_a_date_or_a_moment(since: str, moment: dt.datetime):
    assert period(since, None, NOW, BERLIN).since == moment


def test_the_seven_days_before_a_date_do_not_hold_the_date():
    found = period(None, "2026-10-08", NOW, BERLIN)

    assert found.since == dt.datetime(2026, 10, 1, tzinfo=BERLIN)
    assert found.until == dt.datetime(2026, 10, 8, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("yesterday", None, "--since: it is neither a date nor a moment"),
        ("2026-13-01", None, "--since: it is neither"),
        (None, "0d", "--until: it is neither"),
        ("2026-10-01T12:00", None, "--since: it has no offset"),
        ("2026-10-02", "2026-10-01", "--since: it is not before --until"),
        ("2026-10-01", "2026-10-01", "--since: it is not before --until"),
    ],
)
def test_what_is_no_period_is_refused_with_a_cure(
    since: str | None, until: str | None, words: str
):
    with pytest.raises(InvalidInputError, match=words):
        period(since, until, NOW, BERLIN)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "", "/etc/passwd"])
def test_a_time_zone_that_does_not_exist_is_refused(name: str):
    with pytest.raises(InvalidInputError, match="--timezone: no such time zone"):
        zone(name)
