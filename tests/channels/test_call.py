from __future__ import annotations

import pytest

from cascade.channels.base import HttpRequest
from cascade.channels.call import Call
from cascade.channels.exchange import Ambiguous, NotSent
from cascade.channels.faults import GivenUpError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def call(clock) -> Call[str]:
    request: HttpRequest[str] = HttpRequest(method="POST", url="http://127.0.0.1", headers={})
    return Call(request, start_by=4.0, ends_at=4.0, clock=clock)


def test_a_call_given_up_before_its_first_byte_was_not_sent_and_never_will_be(call):
    assert call.give_up() == NotSent("deadline")
    with pytest.raises(GivenUpError):
        call.before_write(None)


def test_a_call_given_up_after_its_first_byte_is_ambiguous_and_writes_no_more(call):
    call.before_write(None)
    assert call.give_up() == Ambiguous("deadline")
    with pytest.raises(GivenUpError):
        call.before_write(None)


def test_a_process_that_stalled_while_it_connected_writes_nothing(call, clock):
    clock.now = 4.0
    with pytest.raises(GivenUpError):
        call.before_write(None)
    assert call.give_up() == NotSent("deadline")


def test_what_was_begun_in_time_may_be_finished(call, clock):
    call.before_write(None)
    clock.now = 4.0
    call.before_write(None)
