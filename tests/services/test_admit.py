"""Providers' limits, as deliverers keep to them: on a real Valkey, at the time of the tests."""

from __future__ import annotations

import uuid

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis

from sqlalchemy import Engine, event, text

from cascade.channels.limit import AccountLimits, Limit
from cascade.channels.limits import Limits, limits_at
from cascade.domain.hint import Hint
from cascade.domain.state import Channel, Lane
from cascade.services.admit import RANKS
from cascade.services.deliver import deliver
from cascade.services.deployment import Deployment
from tests.channels.wire import refused_url
from tests.services.courier import Courier, Desk
from tests.services.journey import PHONE, Journey, a_step


pytestmark = pytest.mark.integration

Deployed = Callable[..., Deployment]

OTHER = "+79161234568"
START = 1_800_000_000.0
RATE = 5  # a second


class Road:
    """Messages over VK, at a provider that allows five a second, and one a minute to one person."""

    def __init__(self, journey: Journey, hints: list[Hint], client: redis.Redis) -> None:
        client.flushall()
        self.journey = journey
        self.hints = hints
        self.client = client
        self.now = START

    def limits(self, **limits: Limit) -> Limits:
        accounts = {"notify-vk": AccountLimits(**limits)}
        return Limits(self.client, accounts, ranks=RANKS, clock=lambda: self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.journey.advance(seconds)

    def send(self, count: int, **more: object) -> list[uuid.UUID]:
        people = [{"to": PHONE}] * count
        sent = self.journey.cascade.send_many(people, text="Собран", **more)  # type: ignore[arg-type]  # its words
        return [one for one in sent.ids if one is not None]

    def take(self, channel: Channel = Channel.VK) -> list[int]:
        """The ids in the hints of a channel, which are gone then."""
        ids = [one.attempt_id for one in self.hints if one.channel is channel]
        self.hints[:] = [one for one in self.hints if one.channel is not channel]
        return ids

    def states(self, message_ids: Sequence[uuid.UUID]) -> list[str]:
        return [self.journey.state(one) for one in message_ids]


@pytest.fixture
def road(journey: Journey, hints: list[Hint], limits_url: str):
    journey.policy(a_step(Channel.VK, ttl=60), a_step(Channel.OK))
    with redis.Redis.from_url(limits_url) as client:
        yield Road(journey, hints, client)


@pytest.fixture
def limited(road: Road, desk: Desk, deployed: Deployed) -> Deployment:
    return deployed(Courier(url=desk.url), limits=road.limits(rate=Limit(RATE, 1)))


def test_what_is_over_the_rate_waits_in_the_database_and_the_tick_brings_it_again(
    road: Road, limited: Deployment, desk: Desk
):
    sent = road.send(12)

    counts = deliver(limited, Channel.VK, Lane.NORMAL, road.take())

    assert +counts == {"claimed": 5, "accepted": 5, "waiting": 7}
    assert len(desk.lines) == 5
    for seconds, calls in ((1.01, 10), (1, 12)):
        road.advance(seconds)
        road.journey.tick()
        deliver(limited, Channel.VK, Lane.NORMAL, road.take())
        assert len(desk.lines) == calls
    assert road.states(sent) == ["sent"] * 12


def test_waiting_consumes_nothing_of_the_ttl(road: Road, limited: Deployment, desk: Desk):
    *_, last = road.send(6)
    deliver(limited, Channel.VK, Lane.NORMAL, road.take())
    before = road.journey.attempt(last)
    road.advance(30)
    road.journey.tick()
    deliver(limited, Channel.VK, Lane.NORMAL, road.take())

    assert (before.state, before.started_at, before.tries) == ("queued", None, 0)
    assert desk.lines[-1]["ttl"] in {59, 60}


def test_two_deliverers_at_once_do_not_exceed_the_rate(road: Road, desk: Desk, deployed: Deployed):
    road.send(40)
    ids = road.take()
    limits = road.limits(rate=Limit(RATE, 1))
    deployments = [deployed(Courier(url=desk.url), limits=limits) for _ in range(2)]

    with ThreadPoolExecutor(2) as pool:
        done = [
            pool.submit(deliver, one, Channel.VK, Lane.NORMAL, ids[start::2])
            for start, one in enumerate(deployments)
        ]
        claimed = sum(one.result()["claimed"] for one in done)

    assert claimed == len(desk.lines) == RATE


def test_a_hint_that_comes_again_takes_no_second_place(
    road: Road, limited: Deployment, desk: Desk
):
    road.send(8)
    ids = road.take()
    for _ in range(4):
        deliver(limited, Channel.VK, Lane.NORMAL, ids)
    road.advance(0.61)
    deliver(limited, Channel.VK, Lane.NORMAL, ids)

    assert len(desk.lines) == 8


def test_who_would_wait_beyond_the_time_of_the_step_moves_on_at_once(
    road: Road, limited: Deployment
):
    road.journey.policy(a_step(Channel.VK, max_wait=2), a_step(Channel.OK))
    sent = road.send(20)

    counts = deliver(limited, Channel.VK, Lane.NORMAL, road.take())

    assert (counts["accepted"], counts["waiting"] + counts["given_up"]) == (5, 15)
    assert 0 < counts["waiting"] < 10
    assert len(road.take(Channel.OK)) == counts["given_up"]
    gone = [one for one in sent if len(road.journey.attempts(one)) == 2]
    for one in gone:
        first = road.journey.attempt(one, 0)
        assert (first.state, first.error, first.tries) == ("expired", "rate_limit", 0)
    assert len(gone) == counts["given_up"]


def test_given_up_steps_that_nobody_moved_on_are_moved_on_by_the_tick(road: Road):
    """A worker that dies between the two."""
    [message_id] = road.send(1)
    attempt_id = road.journey.attempt(message_id).id
    store = road.journey.ledger.store
    store.transaction(lambda t: t.give_up([attempt_id]))
    road.journey.tick()

    assert [one.state for one in road.journey.attempts(message_id)] == ["expired", "queued"]


def test_a_ttl_that_is_running_is_never_cut(road: Road, desk: Desk, deployed: Deployed):
    limits = road.limits(rate=Limit(1, 3600))
    deployment = deployed(Courier(url=desk.url), limits=limits)
    desk.says = lambda _line: "busy"
    [message_id] = road.send(1)
    deliver(deployment, Channel.VK, Lane.NORMAL, road.take())
    road.advance(6)
    road.journey.tick()
    before = road.journey.attempt(message_id)
    deliver(deployment, Channel.VK, Lane.NORMAL, road.take())
    after = road.journey.attempt(message_id)

    assert after.state == "queued"
    assert after.due_at == after.expires_at == before.expires_at


def test_an_urgent_message_does_not_wait_behind_a_campaign(
    road: Road, limited: Deployment, desk: Desk
):
    road.send(50, priority=Lane.BULK)
    deliver(limited, Channel.VK, Lane.BULK, road.take())
    road.send(1, priority=Lane.URGENT)
    counts = deliver(limited, Channel.VK, Lane.URGENT, road.take())

    assert counts["accepted"] == 1


def test_without_a_limit_nothing_is_asked(
    road: Road, desk: Desk, deployed: Deployed, engine: Engine
):
    """Neither the database nor the server of the limits."""
    gone = limits_at(
        refused_url().replace("http", "redis").replace("/send", "/0"),
        {"notify-ok": AccountLimits(rate=Limit(1, 1))},
        ranks=RANKS,
    )
    counts: list[int] = []
    for limits in (None, gone):
        road.send(3)
        asked: list[str] = []
        listener = _noting(asked)
        event.listen(engine, "before_cursor_execute", listener)
        deliver(deployed(Courier(url=desk.url), limits=limits), Channel.VK, Lane.BULK, road.take())
        event.remove(engine, "before_cursor_execute", listener)
        counts.append(len(asked))

    assert len(desk.lines) == 6
    assert counts[0] == counts[1]


def _noting(asked: list[str]) -> Callable[..., None]:
    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    return note


def test_limits_that_cannot_be_asked_about_hold_up_nobody(
    road: Road, desk: Desk, deployed: Deployed
):
    limits = limits_at(
        refused_url().replace("http", "redis").replace("/send", "/0"),
        {"notify-vk": AccountLimits(rate=Limit(1, 1), per_person=Limit(1, 60))},
        ranks=RANKS,
    )
    road.send(9)
    deliver(deployed(Courier(url=desk.url), limits=limits), Channel.VK, Lane.BULK, road.take())

    assert len(desk.lines) == 9


def test_a_database_that_goes_away_meanwhile_loses_nobody(
    road: Road, limited: Deployment, desk: Desk, cut_connection: Callable[[str], list[str]]
):
    """The slots are remembered, and the tick comes by."""
    sent = road.send(8)
    cut = cut_connection("SET due_at = least(late.slot")
    deliver(limited, Channel.VK, Lane.NORMAL, road.take())
    for _ in range(3):
        road.advance(3)
        road.journey.tick()
        deliver(limited, Channel.VK, Lane.NORMAL, road.take())

    assert cut
    assert road.states(sent) == ["sent"] * 8


def test_who_cannot_line_up_now_comes_again_by_the_tick(
    road: Road, desk: Desk, deployed: Deployed, impatient: Engine, engine: Engine
):
    [message_id] = road.send(1)
    ledger = replace(road.journey.ledger, engine=impatient)
    limits = road.limits(rate=Limit(RATE, 1))
    deployment = deployed(Courier(url=desk.url), ledger=ledger, limits=limits)
    with engine.begin() as other:
        other.execute(text("LOCK TABLE cascade.attempts"))
        assert not +deliver(deployment, Channel.VK, Lane.NORMAL, road.take())
    road.advance(11)
    road.journey.tick()
    deliver(deployment, Channel.VK, Lane.NORMAL, road.take())

    assert road.journey.state(message_id) == "sent"


@pytest.fixture
def personal(road: Road, desk: Desk, deployed: Deployed) -> Deployment:
    return deployed(Courier(url=desk.url), limits=road.limits(per_person=Limit(2, 30)))


def test_a_person_is_not_called_more_often_than_the_provider_allows(
    road: Road, personal: Deployment, desk: Desk
):
    sent = road.send(3)
    other = road.journey.send(to=OTHER)
    counts = deliver(personal, Channel.VK, Lane.NORMAL, road.take())

    assert +counts == {"claimed": 4, "accepted": 3, "retry": 1}
    assert sorted(road.states(sent)) == ["retry", "sent", "sent"]
    assert road.journey.state(other) == "sent"
    [waiting] = [one for one in sent if road.journey.state(one) == "retry"]
    assert road.journey.attempt(waiting).error == "person_limit"
    road.advance(29)
    road.journey.tick()
    assert road.take() == []
    road.advance(2)
    road.journey.tick()
    deliver(personal, Channel.VK, Lane.NORMAL, road.take())
    assert road.states(sent) == ["sent"] * 3
    assert len(desk.lines) == 4


def test_a_person_who_cannot_be_called_in_time_is_reached_over_the_next_channel(
    road: Road, personal: Deployment, desk: Desk
):
    road.journey.policy(a_step(Channel.VK, ttl=20), a_step(Channel.OK))
    sent = road.send(3)
    counts = deliver(personal, Channel.VK, Lane.NORMAL, road.take())

    assert +counts == {"claimed": 3, "accepted": 2, "undeliverable": 1, "opened": 1}
    assert len(desk.lines) == 2
    assert len(road.take(Channel.OK)) == 1
    [over] = [one for one in sent if len(road.journey.attempts(one)) == 2]
    assert road.journey.attempt(over, 0).error == "person_limit"


def test_numbers_and_words_stay_out_of_what_the_limits_keep(
    road: Road, desk: Desk, deployed: Deployed
):
    limits = road.limits(rate=Limit(RATE, 1), per_person=Limit(1, 60))
    road.send(12)
    deliver(deployed(Courier(url=desk.url), limits=limits), Channel.VK, Lane.BULK, road.take())

    kept = road.client.keys()
    assert [key for key in kept if b":person:" in key]
    assert not any(PHONE.removeprefix("+").encode() in key for key in kept)
