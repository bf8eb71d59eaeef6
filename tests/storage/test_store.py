"""What delivering may rely on, of PostgreSQL's store and of that in memory."""

from __future__ import annotations

import datetime as dt
import random

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sqlalchemy import Engine

from cascade.channels.base import (
    Accepted,
    Rejected,
    Result,
    Throttled,
    Unavailable,
    Unknown,
    Unsupported,
)
from cascade.domain.cascade import Attempt
from cascade.domain.engine import RECEIPT_GRACE
from cascade.domain.money import Amount
from cascade.domain.state import UNSENT, AttemptState, Lane
from cascade.services.cancel import cancel
from cascade.services.collect import collect
from cascade.services.deployment import LEASE, seconds
from cascade.services.settle import settle
from cascade.services.sync import sync
from cascade.services.tick import tick
from cascade.storage.charges import Charge
from cascade.storage.settle import Taken, Unclear, Unsent
from cascade.storage.submit import KeyClaim
from tests.storage.stores import (
    CONFIG,
    Bench,
    in_memory,
    on_postgres,
    pollable,
    start_clock,
    stop_clock,
)


pytestmark = pytest.mark.integration

DELIVERED, SENT, UNKNOWN = AttemptState.DELIVERED, AttemptState.SENT, AttemptState.UNKNOWN
FIRST = (0, 0)  # the first step of the first message


@pytest.fixture
def still(engine: Engine) -> Iterator[Engine]:
    stop_clock(engine)
    sync(engine, CONFIG)
    yield engine
    start_clock(engine)


@pytest.fixture(params=["postgres", "memory"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "memory":
        return in_memory()
    return on_postgres(request.getfixturevalue("still"))


def taken(bench: Bench, *refs: str, ttl: int = 0) -> Taken:
    one = bench.claimed[FIRST]
    return Taken(
        attempt_id=one.attempt_id, account=one.account, tries=one.tries, refs=refs, ttl=ttl
    )


def unclear(bench: Bench, *, tries: int | None = None) -> Unclear:
    one = bench.claimed[FIRST]
    return Unclear(attempt_id=one.attempt_id, tries=tries or one.tries, code="silent", ttl=0)


def unsent(bench: Bench, *, tries: int | None = None) -> Unsent:
    one = bench.claimed[FIRST]
    return Unsent(attempt_id=one.attempt_id, tries=tries or one.tries, code="busy", pause=3)


@pytest.fixture
def claimed(bench: Bench) -> Bench:
    """One message, whose first attempt is claimed."""
    bench.send()
    bench.claim(FIRST)
    return bench


def test_an_attempt_is_claimed_once(claimed: Bench) -> None:
    assert claimed.state(FIRST) is AttemptState.SENDING
    assert claimed.claim(FIRST) == []


def test_what_has_no_time_left_is_not_claimed(bench: Bench) -> None:
    bench.send(policy="code")
    bench.advance(16)  # its `max_wait` is 15 s
    assert bench.claim(FIRST) == []


def test_what_waits_for_a_claim_is_told_with_the_time_it_has(bench: Bench):
    for _ in range(2):
        bench.send(policy="code")
    bench.claim((1, 0))
    bench.advance(5)
    ids = [bench.attempt_id((place, 0)) for place in range(2)]
    [one] = bench.do(lambda t: t.queued([*ids, 10_000_000]))
    assert (one.attempt_id, one.account, one.tries) == (ids[0], "devino-viber", 0)
    assert one.seconds_left == 10
    bench.advance(11)
    assert bench.do(lambda t: t.queued(ids)) == []


def test_what_is_put_off_comes_when_it_is_time_and_not_after_its_end(bench: Bench):
    bench.send(policy="code", priority=Lane.URGENT)
    one = bench.attempt_id(FIRST)
    bench.advance(2)
    assert len(bench.do(lambda t: t.requeue(Lane.URGENT, 9))) == 1
    bench.do(lambda t: t.put_off({one: 3.5}))
    found = []
    for _ in range(7):
        bench.advance(1)
        found.append(len(bench.do(lambda t: t.requeue(Lane.URGENT, 9))))
    assert found == [0, 0, 0, 1, 0, 1, 0]
    bench.do(lambda t: t.put_off({one: 100}))
    bench.advance(6)
    assert [*_expired(bench, Lane.URGENT)] == [one]


def test_what_is_claimed_is_not_put_off_nor_given_up(claimed: Bench):
    one = claimed.attempt_id(FIRST)
    claimed.do(lambda t: t.put_off({one: 3}))
    assert claimed.do(lambda t: t.give_up([one])) == {}
    assert claimed.state(FIRST) is AttemptState.SENDING


def test_what_is_given_up_before_its_call_is_over_at_once(bench: Bench):
    bench.send()
    one = bench.attempt_id(FIRST)
    assert bench.do(lambda t: t.give_up([one])) == {one: bench.messages[0]}
    assert bench.do(lambda t: t.queued([one])) == []
    assert [*_expired(bench)] == [one]
    assert bench.cascades()[0].attempts[0].error == "rate_limit"


def test_what_was_called_is_not_given_up(claimed: Bench):
    claimed.do(lambda t: t.settle_unsent([unsent(claimed)]))
    claimed.advance(3)
    claimed.do(lambda t: t.requeue(Lane.NORMAL, 9))
    assert claimed.do(lambda t: t.give_up([claimed.attempt_id(FIRST)])) == {}


def test_a_refused_call_goes_back_for_the_claim_that_made_it_alone(claimed: Bench) -> None:
    stale = replace(unsent(claimed), tries=7)
    assert claimed.do(lambda t: t.settle_unsent([stale])) == 0
    assert claimed.do(lambda t: t.settle_unsent([unsent(claimed)])) == 1
    assert claimed.state(FIRST) is AttemptState.RETRY


def test_an_acceptance_is_a_fact_after_the_lease_too(claimed: Bench) -> None:
    claimed.advance(LEASE)
    assert claimed.do(_break) == 1
    assert claimed.state(FIRST) is UNKNOWN
    claimed.do(lambda t: t.settle_taken([taken(claimed)], RECEIPT_GRACE))
    assert claimed.state(FIRST) is SENT


def test_silence_does_not_take_back_what_was_heard(claimed: Bench) -> None:
    claimed.do(lambda t: t.settle_taken([taken(claimed)], RECEIPT_GRACE))
    claimed.do(lambda t: t.settle_unclear([unclear(claimed)], RECEIPT_GRACE))
    assert claimed.state(FIRST) is SENT


def test_silence_of_another_try_is_no_news(claimed: Bench) -> None:
    claimed.do(lambda t: t.settle_unclear([unclear(claimed, tries=9)], RECEIPT_GRACE))
    assert claimed.state(FIRST) is AttemptState.SENDING


def test_a_lease_is_not_broken_before_its_end(claimed: Bench) -> None:
    claimed.advance(LEASE - 1)
    assert claimed.do(_break) == 0


def test_a_hint_is_given_again_with_doubling_patience(bench: Bench) -> None:
    bench.send()
    found = []
    for _ in range(14):
        bench.advance(4)
        found.append(len(bench.do(lambda t: t.requeue(Lane.NORMAL, 10))))
    assert found == [0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_an_expiry_waits_for_a_receipt_of_its_own(claimed: Bench) -> None:
    claimed.do(lambda t: t.settle_taken([taken(claimed)], RECEIPT_GRACE))
    claimed.advance(17)
    claimed.hear(FIRST, DELIVERED)
    assert _expired(claimed) == {}
    assert claimed.do(lambda t: t.awaiting(claimed.messages)) == set(claimed.messages)


def test_an_expiry_waits_while_its_account_is_behind(bench: Bench) -> None:
    bench.send()
    bench.send()
    bench.claim((0, 0), (1, 0))
    for name in bench.claimed:
        one = taken(bench)._replace(attempt_id=bench.claimed[name].attempt_id)
        bench.do(lambda t, one=one: t.settle_taken([one], RECEIPT_GRACE))  # type: ignore[misc]
    bench.advance(8)
    bench.hear((1, 0), DELIVERED)
    bench.advance(9)
    assert _expired(bench) == {}
    collect(bench.records)
    assert [*_expired(bench).values()] == bench.messages[:1]


def test_a_pollable_expiry_waits_for_the_answer(bench: Bench) -> None:
    bench.send(policy=[{"channel": "sms", "ttl": "60s"}])
    bench.claim(FIRST)
    bench.do(lambda t: t.settle_taken([taken(bench)], RECEIPT_GRACE))
    bench.advance(62)
    assert len(bench.do(lambda t: t.unanswered(["smsc"], quota=9, grace=RECEIPT_GRACE))) == 1
    assert _expired(bench) == {}
    bench.do(lambda t: t.mark_polled([bench.attempt_id(FIRST)]))
    assert bench.do(lambda t: t.unanswered(["smsc"], quota=9, grace=RECEIPT_GRACE)) == []
    assert len(_expired(bench)) == 1


def test_a_receipt_is_stored_once(claimed: Bench) -> None:
    assert [claimed.hear(FIRST, DELIVERED) for _ in range(2)] == [1, 0]


def test_a_receipt_without_our_reference_finds_the_newest_with_the_providers(
    bench: Bench,
) -> None:
    for place in range(2):
        bench.send()
        bench.claim((place, 0))
        one = taken(bench, "77")._replace(attempt_id=bench.claimed[place, 0].attempt_id)
        bench.do(lambda t, one=one: t.settle_taken([one], RECEIPT_GRACE))  # type: ignore[misc]
    bench.hear(FIRST, DELIVERED, client_ref=None, provider_ref="77")
    [found] = bench.do(lambda t: t.match_receipts(t.take_receipts(10)))
    assert found.message_id == str(bench.messages[1])


def test_an_orphan_is_looked_at_after_one_two_and_four_seconds(claimed: Bench) -> None:
    claimed.hear(FIRST, DELIVERED, client_ref="nobody's")
    looks = []
    for _ in range(9):
        due = claimed.do(lambda t: t.take_receipts(10))
        looks.append(len(due))
        claimed.do(lambda t, due=due: t.defer_receipts(due))  # type: ignore[misc]
        claimed.advance(1)
    assert looks == [1, 1, 0, 1, 0, 0, 0, 1, 0]


def test_an_attempt_is_charged_once(claimed: Bench) -> None:
    one = Charge(
        attempt_id=claimed.attempt_id(FIRST),
        rate_id=None,
        amount=None,
        units=1,
        occurred_at=claimed.do(lambda t: t.now()),
        sms_amount=None,
    )
    again = one._replace(units=2, sms_amount=Amount(Decimal(2), "RUB"))
    claimed.do(lambda t: t.book([one]))
    claimed.do(lambda t: t.book([again]))
    assert claimed.charges() == {FIRST: None}


def test_a_key_is_the_first_ones_until_it_expires(bench: Bench) -> None:
    first, second = (
        KeyClaim(
            sender="shop",
            key="order",
            request_hash=bytes([place]),
            message_id=bench.messages[bench.send()],
        )
        for place in range(2)
    )
    bench.do(lambda t: t.claim_keys([first]))
    bench.do(lambda t: t.claim_keys([second]))
    assert bench.do(lambda t: t.read_keys([("shop", "order")])) == {
        ("shop", "order"): (first.request_hash, first.message_id)
    }
    bench.advance(8 * 86_400)
    bench.do(lambda t: t.claim_keys([second]))
    [held] = bench.do(lambda t: t.read_keys([("shop", "order")])).values()
    assert held == (second.request_hash, second.message_id)


def test_what_fails_leaves_nothing(claimed: Bench) -> None:
    def work(transaction):
        transaction.settle_taken([taken(claimed, "77")], RECEIPT_GRACE)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        claimed.do(work)
    assert claimed.state(FIRST) is AttemptState.SENDING
    claimed.advance(LEASE)
    assert claimed.do(_break) == 1


def test_a_turn_comes_once_in_its_pause_and_is_given_back(bench: Bench) -> None:
    pause = dt.timedelta(seconds=60)
    turns = [bench.do(lambda t: t.begin("poll", pause)) for _ in range(2)]
    bench.do(lambda t: t.finish("poll", pause))
    assert [*turns, bench.do(lambda t: t.begin("poll", pause))] == [True, False, True]


@pytest.mark.parametrize("seed", [1, 7, 9])
def test_both_live_through_the_same_life(still: Engine, seed: int) -> None:
    ours, theirs = (_Life(bench, seed) for bench in (in_memory(), on_postgres(still)))
    for _ in range(60):
        assert ours.step() == theirs.step()
        assert ours.rows() == theirs.rows()
    assert ours.bench.charges() == theirs.bench.charges() != {}


class _Life:
    """What the seed decides to do to a store, and what comes of it."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.rng = random.Random(seed)  # noqa: S311  # no secret
        self.ways: list[Callable[[], Any]] = [
            self.send,
            self.send,
            self.claim,
            self.claim,
            self.settle,
            self.settle,
            self.hear,
            self.hear,
            self.hear,
            self.collect,
            self.collect,
            self.tick,
            self.tick,
            self.poll,
            self.cancel,
        ]

    def step(self) -> object:
        way = self.rng.choice(self.ways) if self.bench.messages else self.send
        self.bench.advance(self.rng.choice([0, 0.25, 1, 3, 10, 20]))
        return way.__name__, way()

    def rows(self) -> object:
        """All but the attempts' own numbers, and how early they are looked at in vain."""
        return [
            one._replace(attempts=tuple(_known(a) for a in one.attempts))
            for one in self.bench.cascades()
        ]

    def send(self) -> object:
        policy = self.rng.choice(["default", "code", "patient"])
        lane = self.rng.choice(list(Lane))
        pause = self.rng.choice([None, 30])
        now = self.bench.do(lambda t: t.now())
        send_at = None if pause is None else now + seconds(pause)
        return self.bench.send(policy=policy, priority=lane, send_at=send_at)

    def claim(self) -> object:
        names = sorted(self.bench.names().values())
        claimed = self.bench.claim(*self.rng.sample(names, min(4, len(names))))
        return [(name, self.bench.claimed[name].seconds_left) for name in claimed]

    def settle(self) -> object:
        if not self.bench.claimed:
            return None
        names = self.rng.sample(sorted(self.bench.claimed), min(3, len(self.bench.claimed)))
        answers: list[Result] = [
            Accepted((str(self.rng.randrange(5)),)),
            Unknown("silent"),
            Throttled("busy", 2.0),
            Unavailable("refused"),
            Unsupported("no-user"),
            Rejected("template"),
        ]
        results = [(self.bench.claimed[name], self.rng.choice(answers)) for name in names]
        settled = settle(self.bench.deployment, results)
        return settled.counts, len(settled.hints)

    def hear(self) -> object:
        if not self.bench.claimed:
            return None
        name = self.rng.choice(sorted(self.bench.claimed))
        status = self.rng.choice(
            [AttemptState.UNSUPPORTED, DELIVERED, DELIVERED, AttemptState.READ]
        )
        refs = self.rng.choice(
            [{}, {"client_ref": None, "provider_ref": str(self.rng.randrange(5))}]
        )
        return self.bench.hear(name, status, **refs)

    def collect(self) -> object:
        return collect(self.bench.records)

    def tick(self) -> object:
        counts = tick(self.bench.records, pollable())
        del counts["postponed"]
        return counts

    def poll(self) -> object:
        accounts = sorted(pollable())
        found = self.bench.do(lambda t: t.unanswered(accounts, quota=5, grace=RECEIPT_GRACE))
        ids = [one.attempt_id for one in found]
        self.bench.do(lambda t: t.mark_polled(ids))
        names = self.bench.names()
        return sorted(names[one] for one in ids)

    def cancel(self) -> object:
        return cancel(self.bench.records, self.rng.choice(self.bench.messages))


def _break(transaction) -> int:
    return transaction.break_leases(Lane.NORMAL, 9, lease=seconds(LEASE), grace=RECEIPT_GRACE)


def _expired(bench: Bench, lane: Lane = Lane.NORMAL):
    return bench.do(lambda t: t.expired(lane, 9, pollable=pollable()))


def _known(one: Attempt) -> Attempt:
    if one.state in UNSENT:
        return one._replace(id=None)
    return one._replace(id=None, due_at=one.due_at and one.expires_at)
