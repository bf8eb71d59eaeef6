from __future__ import annotations

import pytest

from cascade.channels.limit import Limit, parse_limit


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("50/s", Limit(50, 1)),
        ("10/m", Limit(10, 60)),
        ("100/h", Limit(100, 3600)),
        ("5/d", Limit(5, 86_400)),
        ("1/6s", Limit(1, 6)),
        ("unlimited", None),
    ],
)
def test_a_limit_is_a_count_in_a_time(written: str, limit: Limit | None):
    assert parse_limit(written) == limit


@pytest.mark.parametrize(
    "written", ["", "50", "50/", "0/s", "50/0s", "-1/s", "1.5/s", "50 / s", "5/w", 51, True]
)
def test_what_is_no_limit_is_refused_with_a_cure(written: object):
    with pytest.raises(ValueError, match="write 50/s, 5/d or 1/6s"):
        parse_limit(written)


def test_calls_are_spread_evenly():
    assert Limit(50, 1).pause == 0.02
