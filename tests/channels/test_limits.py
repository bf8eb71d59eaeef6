"""The limits on a real Valkey, at a time that the tests move, and at the server's own."""

from __future__ import annotations

import logging
import socket

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
import redis

from hypothesis import Phase, given, settings, strategies as st

from cascade.channels.limit import AccountLimits, Limit, Place
from cascade.channels.limits import KEPT, Limits, limits_at
from cascade.domain.errors import ConfigurationError


pytestmark = pytest.mark.integration

START = 1_800_000_000.0
RATE = 10  # a second
PAUSE = 1 / RATE
DAY = 86_400
RANKS = 3
ACCOUNTS = {
    "vk": AccountLimits(rate=Limit(RATE, 1)),
    "ok": AccountLimits(per_person=Limit(2, DAY)),
    "slow": AccountLimits(rate=Limit(1, 6)),
}
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink on a server takes minutes
ANN, BEN = b"\x01" * 32, b"\x02" * 32


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server(limits_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(limits_url) as client:
        yield client


class Line:
    """One account's limits, with names for what attempts do."""

    def __init__(self, server: redis.Redis, account: str = "vk") -> None:
        server.flushall()
        self.clock = Clock()
        self.account = account
        self.limits = Limits(server, ACCOUNTS, ranks=RANKS, clock=self.clock)

    def ask(
        self, ids: Iterable[int], *, rank: int = 2, left: float = 1e6
    ) -> dict[int, float | None]:
        places = [Place(attempt_id=one, rank=rank, left=left) for one in ids]
        return self.limits.take_slots(self.account, places)

    def waits(self, ids: Iterable[int], **more: Any) -> list[float | None]:
        return [None if w is None else round(w, 3) for w in self.ask(ids, **more).values()]

    def goes(self, ids: Iterable[int], **more: Any) -> list[int]:
        return [one for one, wait in self.ask(ids, **more).items() if wait == 0]


@pytest.fixture
def line(server: redis.Redis) -> Line:
    return Line(server)


def test_a_seconds_calls_go_at_once_and_the_others_get_their_moments(line: Line):
    assert line.waits(range(13)) == [0.0] * 10 + [0.1, 0.2, 0.3]


def test_one_call_in_six_seconds_is_never_two(server: redis.Redis):
    line = Line(server, "slow")
    line.clock.now += 60
    assert line.waits(range(3)) == [0, 6, 12]


def test_a_long_rest_is_no_credit_for_more_than_a_second(line: Line):
    line.goes(range(10))
    line.clock.now += 3600
    assert len(line.goes(range(10, 100))) == RATE


def test_who_comes_back_in_time_is_let_through_without_lining_up_again(line: Line):
    line.ask(range(30))
    line.clock.now += 1.0
    assert line.goes(range(10, 30)) == list(range(10, 20))
    assert line.waits([99]) == [2.0 + PAUSE - 1.0]


def test_who_comes_back_early_keeps_the_place(line: Line):
    line.ask(range(30))
    line.clock.now += 0.5
    assert line.waits([29, 28]) == [1.5, 1.4]


def test_who_comes_too_late_lines_up_again(line: Line):
    """A killed worker's slots are gone: what it held does not come all at once when another one starts."""
    line.ask(range(500))
    line.clock.now += 49 + KEPT + 0.01
    assert len(line.goes(range(10, 500))) == RATE


def test_a_stall_that_is_short_costs_no_slot(line: Line):
    line.ask(range(30))
    line.clock.now += KEPT - 0.1
    assert line.goes(range(10, 30)) == list(range(10, 30))


def test_who_cannot_wait_that_long_gets_no_slot_and_takes_none(line: Line):
    assert line.waits(range(12), left=0.1) == [0.0] * 10 + [0.1, None]
    assert line.waits([50]) == [0.2]


def test_an_urgent_message_passes_a_campaign_which_waits_for_it(line: Line):
    line.ask(range(1000), rank=3)
    line.clock.now += 2.05
    assert line.waits(range(2000, 2012), rank=1) == [0.0] * 10 + [0.1, 0.2]
    assert line.goes(range(10, 30), rank=3) == list(range(10, 30 - 12))


def test_who_is_passed_by_others_until_it_is_too_late_need_not_wait_on(line: Line):
    assert line.waits(range(12), rank=3, left=1)[-2:] == [0.1, 0.2]
    line.ask(range(100, 110), rank=1)
    assert line.waits([10, 11], rank=3, left=1.15) == [1.1, None]


def test_a_rest_is_a_seconds_credit_for_all_ranks_together(line: Line):
    assert len(line.goes(range(8), rank=3)) == 8
    assert len(line.goes(range(100, 120), rank=1)) == 2
    assert line.goes([200], rank=2) == []


def test_a_campaign_does_not_make_what_passes_it_wait(line: Line):
    line.ask(range(1000), rank=3)
    line.clock.now += 5
    line.goes(range(10, 60), rank=3)
    assert line.goes([2000], rank=2) == [2000]


def test_an_empty_server_costs_a_seconds_calls_and_no_more(line: Line, server: redis.Redis):
    line.ask(range(100))
    line.clock.now += 1.0
    server.flushall()
    gone = line.goes(range(10, 100))
    assert gone == list(range(10, 10 + RATE))
    line.clock.now += 2.0
    assert len(line.goes(set(range(10, 100)) - set(gone))) <= 2 * RATE + 1


def test_two_deliverers_at_once_share_one_line(server: redis.Redis):
    """At the server's own time."""
    server.flushall()
    accounts = {"vk": AccountLimits(rate=Limit(RATE, 60))}
    deliverers = [Limits(server, accounts, ranks=RANKS) for _ in range(2)]

    def ask(deliverer: int) -> list[float]:
        waits: list[float | None] = []
        for start in range(deliverer * 100, deliverer * 100 + 100, 10):
            places = [Place(attempt_id=s, rank=1, left=1e6) for s in range(start, start + 10)]
            waits += deliverers[deliverer].take_slots("vk", places).values()
        return [wait for wait in waits if wait is not None]

    with ThreadPoolExecutor(2) as pool:
        waits = sorted(wait for some in pool.map(ask, range(2)) for wait in some)

    assert len(waits) == 200
    assert waits.count(0) == 1
    steps = [late - early for early, late in pairwise(waits)]
    assert all(4 < step < 8 for step in steps)  # six seconds, less the time that the asking took


def test_every_place_is_forgotten_some_day(line: Line, server: redis.Redis):
    line.ask(range(12))
    line.limits.count_calls("ok", {1: ANN})
    lifetimes = {key: server.ttl(key) for key in server.keys("cascade:limits:*")}
    line_of_all = lifetimes.pop(b"cascade:limits:{vk}:line")
    assert line_of_all == -1
    assert len(lifetimes) == 3
    assert all(0 < seconds <= DAY + 1 for seconds in lifetimes.values())


class Model:
    """The line of one rank as a newcomer would write it."""

    def __init__(self) -> None:
        self.free = 0.0
        self.slots: dict[int, float] = {}

    def ask(self, one: int, left: float, now: float) -> float | None:
        slot = self.slots.pop(one, None)
        if slot is None or slot < now - KEPT:
            slot = max(self.free, now - 1 + PAUSE)
            if slot - now > left:
                return None
            self.free = slot + PAUSE
        if slot - now > left:
            return None
        if slot > now:
            self.slots[one] = slot
        return max(0.0, slot - now)


# Whole milliseconds, off the grid of the slots: no answer hangs on a rounding.
_ASKS = st.lists(
    st.tuples(
        st.integers(0, 40).map(lambda n: n * 0.05 + 0.013),  # seconds later
        st.lists(st.integers(0, 60), unique=True, max_size=30),  # who asks
        st.sampled_from([0.5, 2.0, 1e6]),  # seconds that they can wait
    ),
    max_size=12,
)


@given(_ASKS)
@settings(max_examples=30, phases=UNSHRUNK)
def test_the_line_is_what_its_model_says(asks: list[tuple[float, list[int], float]]):
    line, model = Line(_server()), Model()
    for later, ids, left in asks:
        line.clock.now += later
        expected = {one: model.ask(one, left, line.clock.now) for one in ids}
        assert line.ask(ids, left=left) == {
            one: None if wait is None else pytest.approx(wait, abs=1e-4)
            for one, wait in expected.items()
        }


class Crowd:
    """Everybody comes back when told, on a tick of a tenth of a second."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.waiting: dict[int, tuple[int, float]] = {}  # rank and moment, by id
        self.gone: list[float] = []
        self.last_id = 0

    def come(self, rank: int, count: int) -> None:
        for _ in range(count):
            self.last_id += 1
            self.waiting[self.last_id] = (rank, self.line.clock.now)

    def tick(self) -> None:
        now = self.line.clock.now
        for rank in range(1, RANKS + 1):
            due = [
                one
                for one, (r, moment) in self.waiting.items()
                if (r, True) == (rank, moment <= now)
            ]
            for one, wait in self.line.ask(due, rank=rank).items():
                assert wait is not None
                self.waiting[one] = (rank, now + wait)
                if wait == 0:
                    del self.waiting[one]
                    self.gone.append(now)
        self.line.clock.now += 0.1


_ARRIVALS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, RANKS), st.integers(1, 40)), max_size=8
)


@given(_ARRIVALS)
@settings(max_examples=20, phases=UNSHRUNK)
def test_all_ranks_together_keep_to_the_rate_and_waste_nothing(
    arrivals: list[tuple[int, int, int]],
):
    crowd = Crowd(Line(_server()))
    for ticks, rank, count in arrivals:
        for _ in range(ticks):
            crowd.tick()
        crowd.come(rank, count)
    begun = crowd.line.clock.now
    while crowd.waiting:
        crowd.tick()
    for start, first in enumerate(crowd.gone):
        for count, last in enumerate(crowd.gone[start:], 1):
            assert count <= RATE * (last - first + RANKS + 0.2) + 1
    assert crowd.line.clock.now <= begun + crowd.last_id / RATE + 0.3


_SERVERS: list[redis.Redis] = []


def _server() -> redis.Redis:
    """For properties, which take no fixtures of a function."""
    return _SERVERS[0]


@pytest.fixture(autouse=True, scope="module")
def _lend(server: redis.Redis) -> Iterator[None]:
    _SERVERS.append(server)
    yield
    _SERVERS.clear()


def test_a_person_is_called_as_often_as_the_provider_allows(line: Line):
    count = line.limits.count_calls
    assert count("ok", {1: ANN, 2: ANN, 3: ANN, 4: BEN}) == {1: 0, 2: 0, 3: DAY, 4: 0}
    line.clock.now += DAY - 10
    assert count("ok", {3: ANN}) == {3: 10}
    line.clock.now += 10
    assert count("ok", {3: ANN}) == {3: 0}


def test_an_attempt_that_is_tried_again_is_one_call(line: Line):
    count = line.limits.count_calls
    assert [count("ok", {1: ANN})[1] for _ in range(5)] == [0] * 5
    assert count("ok", {2: ANN}) == {2: 0}
    assert count("ok", {1: ANN, 3: ANN}) == {1: 0, 3: DAY}


def test_accounts_without_a_limit_ask_nobody(caplog: pytest.LogCaptureFixture):
    limits = limits_at(f"redis://127.0.0.1:{_closed_port()}/0", ACCOUNTS, ranks=RANKS)
    assert limits is not None
    assert not limits.has_rate("ok")
    assert limits.take_slots("ok", [Place(attempt_id=1, rank=1, left=1)]) == {1: 0}
    assert limits.count_calls("vk", {1: ANN}) == {1: 0}
    assert caplog.records == []


def test_who_cannot_ask_lets_all_go_with_a_warning(caplog: pytest.LogCaptureFixture):
    url = f"redis://:canary@127.0.0.1:{_closed_port()}/0"
    limits = limits_at(url, ACCOUNTS, ranks=RANKS)
    assert limits is not None
    assert not limits.answers()
    assert limits.take_slots("vk", [Place(attempt_id=1, rank=1, left=1)] * 30) == {1: 0}
    assert limits.count_calls("ok", dict.fromkeys(range(5), ANN)) == dict.fromkeys(range(5), 0)
    assert [(one.levelno, "canary" in one.message) for one in caplog.records] == [
        (logging.WARNING, False)
    ] * 2


def test_without_a_limit_there_is_nothing_to_keep():
    assert limits_at(None, {}, ranks=RANKS) is None


def test_limits_without_a_server_are_refused_with_a_cure():
    with pytest.raises(ConfigurationError, match="limits of vk, ok, slow") as caught:
        limits_at(None, ACCOUNTS, ranks=RANKS)
    assert caught.value.field == "CASCADE_LIMITS_URL"
    assert "redis://" in caught.value.cure


def _closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
