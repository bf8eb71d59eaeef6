from __future__ import annotations

import pytest

from cascade.channels.base import Rejected, Throttled, Unavailable, Unknown
from cascade.channels.http_status import by_status, refused
from tests.channels.samples import answer


@pytest.mark.parametrize("status", [301, 307, 308, 400, 401, 403, 404, 406, 422])
def test_a_refusal_is_ours_to_mend(status):
    assert by_status(answer("", status=status)) == Rejected(f"http_{status}")


@pytest.mark.parametrize("status", [200, 202, 204, 302, 303, 408, 500, 502, 503, 504, 599])
def test_what_may_have_been_accepted_is_unknown(status):
    assert by_status(answer("", status=status)) == Unknown(f"http_{status}")


@pytest.mark.parametrize(
    ("header", "pause"),
    [("7", 7.0), ("0", 0.0), ("999999999", 86_400.0), ("-1", None), ("²", None), ("soon", None)],
)
def test_too_many_requests_are_throttled_for_as_long_as_asked(header, pause):
    response = answer("", status=429, headers={"retry-after": header})
    assert by_status(response) == Throttled("http_429", pause)


def test_an_unknown_code_is_kept_raw_beside_the_status():
    assert refused("new-code", {}, answer("", status=400)) == Rejected("new-code")
    assert refused("new-code", {}, answer("", status=200)) == Unknown("new-code")


def test_a_pause_that_is_asked_for_is_kept_even_where_the_provider_is_down():
    table = {"DOWN": Unavailable}
    assert refused("DOWN", table, answer("", status=503)) == Unavailable("DOWN")
    asked = answer("", status=503, headers={"retry-after": "3"})
    assert refused("DOWN", table, asked) == Throttled("DOWN", 3.0)
