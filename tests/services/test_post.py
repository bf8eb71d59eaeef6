from __future__ import annotations

import logging
import socket
import threading
import uuid

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from standardwebhooks import Webhook

from cascade import ConfigurationError, OnStatus
from cascade.callbacks.endpoints import Endpoint, Endpoints
from cascade.callbacks.guard import Guard
from cascade.callbacks.poster import DEADLINE, Posted, Poster
from cascade.channels.base import Accepted
from cascade.domain import engine
from cascade.domain.state import Channel
from cascade.services.advance import advance
from cascade.services.post import BREATH, JITTER, LEASE, PAUSES, post
from cascade.storage import endpoints as storage
from cascade.storage.database import transaction
from cascade.storage.endpoints import enable, endpoint_states, resend, sync_endpoints
from config.celery import SETTINGS
from tests.callbacks.receiver import Answer, Heard, Receiver, a_receiver
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration

KEY = b"k" * 24
SECRET = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"
SHOP = OnStatus(endpoint="shop")
LOOPBACK = ip_network("127.0.0.0/8")
SHORT = 0.5  # seconds for a call that nobody answers

Posters = Callable[..., Poster]


@pytest.fixture
def shop() -> Iterator[Receiver]:
    with a_receiver() as receiver:
        yield receiver


@pytest.fixture
def posters(journey: Journey) -> Iterator[Posters]:
    """Posters to endpoints at these addresses, which messages can name from then on."""
    made: list[Poster] = []

    def make(connections: int = 4, deadline: float = 10, **urls: str) -> Poster:
        by_name = {
            name: Endpoint(name=name, url=url, keys=(KEY,), connections=connections)
            for name, url in urls.items()
        }
        ports = frozenset(int(url.split(":")[2].split("/")[0]) for url in urls.values())
        guard = Guard(ports=ports, private_networks=(LOOPBACK,))
        transaction(journey.engine, lambda c: sync_endpoints(c, urls))
        endpoints = Endpoints(by_name=by_name, guard=guard, ca_file=None)
        made.append(Poster(endpoints, deadline=deadline))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def poster(posters: Posters, shop: Receiver) -> Poster:
    return posters(shop=shop.url())


def run(journey: Journey, poster: Poster, *, after: float = 1) -> Counter[str]:
    """One run of the task, some seconds after what was before, and what it left under way."""
    journey.advance(after)
    tally = post(journey.ledger, poster, working=5)
    while poster.in_flight:
        journey.advance(1)
        tally += post(journey.ledger, poster, working=5)
    return tally


def cancelled(journey: Journey, on_status: OnStatus = SHOP, **more: Any) -> uuid.UUID:
    message_id = journey.send(on_status=on_status, **more)
    assert journey.cascade.cancel(message_id)
    return message_id


def many_cancelled(journey: Journey, number: int, on_status: OnStatus = SHOP) -> None:
    sent = journey.cascade.send_many([{"to": PHONE}] * number, text=WORDS, on_status=on_status)
    events = {one: [engine.cancel] for one in sent.ids if one is not None}
    journey.ledger.store.transaction(lambda t: advance(t, journey.ledger, events))


def promoted(journey: Journey) -> uuid.UUID:
    """A message that was undelivered, then delivered after all."""
    journey.policy(a_step(Channel.VK, ttl=15), name="vk")
    message_id = journey.send(policy="vk", on_status=SHOP)
    journey.call(message_id, Accepted())
    journey.advance(18)
    journey.tick()
    journey.deliver(message_id)
    return message_id


def tries(journey: Journey, message_id: uuid.UUID) -> list[tuple[int, bool]]:
    """(tries, told) of its events."""
    rows = journey.rows(
        "SELECT tries, told_at IS NOT NULL FROM cascade.events WHERE message_id = :id"
        " ORDER BY sequence",
        id=message_id,
    )
    return [tuple(row) for row in rows]


def state(journey: Journey, name: str = "shop") -> storage.EndpointState:
    found = transaction(journey.engine, endpoint_states)
    return next(one for one in found if one.name == name)


def failing(status: int = 500, **headers: str) -> Callable[[Heard], Answer]:
    return lambda _: Answer(status, {name.replace("_", "-"): v for name, v in headers.items()})


def answer_after(seconds: float) -> Callable[[Heard], Answer]:
    """Keeps its caller waiting."""

    def answer(_: Heard) -> Answer:
        threading.Event().wait(seconds)
        return Answer()

    return answer


@contextmanager
def blackhole() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(128)
        yield f"http://127.0.0.1:{silent.getsockname()[1]}/"


def test_an_endpoint_hears_of_a_delivery_with_a_signature_that_the_reference_library_takes(
    journey: Journey, shop: Receiver, poster: Poster
):
    message_id = journey.send(on_status=SHOP, key="order-7")
    journey.deliver(message_id)

    assert run(journey, poster) == Counter(claimed=1, told=1)

    [heard] = shop.heard
    document = Webhook(SECRET).verify(heard.body, dict(heard.headers))
    [event] = journey.rows("SELECT happened_at FROM cascade.events")
    assert document == {
        "type": "message.delivered",
        "timestamp": event.happened_at.isoformat().replace("+00:00", "Z"),
        "data": {
            "id": str(message_id),
            "state": "delivered",
            "sequence": 1,
            "success_met": True,
            "channel": "vk",
            "key": "order-7",
        },
    }
    assert tries(journey, message_id) == [(1, True)]
    assert run(journey, poster) == Counter()


def test_what_was_not_delivered_has_no_channel_and_a_message_without_a_key_none(
    journey: Journey, shop: Receiver, poster: Poster
):
    cancelled(journey)
    run(journey, poster)

    [heard] = shop.heard
    assert (heard.data["channel"], heard.data["key"], heard.data["success_met"]) == (
        None,
        None,
        False,
    )


def test_neither_the_number_nor_the_words_are_told(
    journey: Journey, shop: Receiver, poster: Poster
):
    cancelled(journey)
    run(journey, poster)

    told = shop.heard[0].body.decode()
    assert PHONE.lstrip("+") not in told
    assert WORDS not in told


def test_each_change_is_told_in_order(journey: Journey, shop: Receiver, poster: Poster):
    promoted(journey)

    assert run(journey, poster) == Counter(claimed=2, told=2)
    heard = [(one.data["state"], one.data["sequence"]) for one in shop.heard]
    assert heard == [("undelivered", 1), ("delivered", 2)]


def test_a_later_change_waits_for_the_earlier_one_that_failed(
    journey: Journey, shop: Receiver, poster: Poster
):
    message_id = promoted(journey)
    shop.answer = failing()

    run(journey, poster)
    assert tries(journey, message_id) == [(1, False), (0, False)]

    shop.answer = lambda _: Answer()
    run(journey, poster, after=PAUSES[0] * (1 + JITTER))
    assert [one.data["sequence"] for one in shop.heard] == [1, 1, 2]


def test_a_repeat_has_the_same_id_and_body_and_a_new_time(
    journey: Journey, shop: Receiver, poster: Poster
):
    cancelled(journey)
    shop.answer = failing()
    run(journey, poster)
    run(journey, poster, after=PAUSES[0] * (1 + JITTER))

    first, again = shop.heard
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.body == again.body
    assert first.headers["webhook-timestamp"] < again.headers["webhook-timestamp"]
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]


def test_each_event_has_an_id_of_its_own(journey: Journey, shop: Receiver, poster: Poster):
    promoted(journey)
    cancelled(journey)
    run(journey, poster)

    assert len({one.headers["webhook-id"] for one in shop.heard}) == 3


def test_after_ten_tries_it_is_given_up_with_an_alert_and_can_be_sent_again(
    journey: Journey, shop: Receiver, poster: Poster, caplog: pytest.LogCaptureFixture
):
    message_id = cancelled(journey)
    shop.answer = failing()

    done = [run(journey, poster, after=pause * (1 + JITTER)) for pause in (1, *PAUSES)]

    assert [one["failed"] for one in done] == [1] * 10
    assert [one["given_up"] for one in done] == [0] * 9 + [1]
    assert tries(journey, message_id) == [(10, False)]
    [alert] = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert alert == "callers will not be told"

    shop.answer = lambda _: Answer()
    since = journey.message(message_id).created_at
    assert transaction(journey.engine, lambda c: resend(c, "crm", since)) == 0
    assert transaction(journey.engine, lambda c: resend(c, "shop", since)) == 1
    assert run(journey, poster, after=storage.LONGEST_PAUSE.total_seconds())["told"] == 1


def test_the_tries_of_ten_span_three_days(journey: Journey):
    assert len(PAUSES) == 9
    assert sorted(PAUSES) == list(PAUSES)
    assert sum(PAUSES) / 3600 == pytest.approx(75.6, abs=0.1)


def test_an_endpoint_that_asks_for_a_pause_has_it(
    journey: Journey, shop: Receiver, poster: Poster
):
    cancelled(journey)
    shop.answer = failing(429, Retry_After="600")
    run(journey, poster)

    assert run(journey, poster, after=590) == Counter()
    assert run(journey, poster, after=10)["failed"] == 1


def test_while_an_endpoint_fails_it_is_tried_once_at_a_time_less_and_less_often(
    journey: Journey, shop: Receiver, poster: Poster
):
    many_cancelled(journey, 300)
    shop.answer = failing()
    run(journey, poster)

    heard = []
    for _ in range(60):
        before = len(shop.heard)
        run(journey, poster, after=60)
        heard.append(len(shop.heard) - before)

    assert max(heard[3:]) == 1
    assert sum(heard[-20:]) <= 20 * 60 / storage.LONGEST_PAUSE.total_seconds() + 1
    assert sum(heard[-20:]) >= 3


def test_an_endpoint_that_is_well_again_is_told_everything_without_a_pause(
    journey: Journey, shop: Receiver, poster: Poster
):
    many_cancelled(journey, 30)
    shop.answer = failing()
    run(journey, poster)
    run(journey, poster, after=3600)

    shop.answer = lambda _: Answer()
    told = run(journey, poster, after=3600)["told"]

    assert told == 30
    assert state(journey).failing_for is None


def test_one_event_that_an_endpoint_chokes_on_does_not_hold_up_its_others(
    journey: Journey, shop: Receiver, poster: Poster
):
    bad = str(cancelled(journey))
    shop.answer = lambda heard: Answer(500 if heard.data["id"] == bad else 200)
    run(journey, poster)
    many_cancelled(journey, 20)

    assert run(journey, poster)["told"] == 20


def test_after_days_of_failure_an_endpoint_is_disabled_with_an_alert_and_what_it_is_owed_waits(
    journey: Journey, shop: Receiver, poster: Poster, caplog: pytest.LogCaptureFixture
):
    many_cancelled(journey, 100)
    shop.answer = failing(503)
    disabled = 0
    while not disabled:
        disabled = run(journey, poster, after=6 * 3600)["disabled"]
    was_disabled = state(journey)

    assert was_disabled.failing_for == pytest.approx(
        storage.PATIENCE.total_seconds(), abs=7 * 3600
    )
    assert was_disabled.disabled_for == pytest.approx(0, abs=5)
    assert was_disabled.error == "http_503"
    alerts = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert "endpoint shop is disabled: it takes no webhook" in alerts
    heard = len(shop.heard)
    assert run(journey, poster, after=86_400) == Counter()
    assert len(shop.heard) == heard

    shop.answer = lambda _: Answer()
    assert transaction(journey.engine, lambda c: enable(c, "shop", lease=LEASE))
    assert run(journey, poster)["told"] == 100
    assert state(journey).disabled_for is None


def test_an_endpoint_that_says_it_is_gone_is_disabled_at_once(
    journey: Journey, shop: Receiver, poster: Poster
):
    cancelled(journey)
    shop.answer = failing(410)

    assert run(journey, poster)["disabled"] == 1
    assert run(journey, poster, after=86_400) == Counter()


def test_a_failure_before_a_long_silence_does_not_count(
    journey: Journey, shop: Receiver, poster: Poster
):
    cancelled(journey)
    shop.answer = failing()
    for pause in (1, *PAUSES):
        run(journey, poster, after=pause * (1 + JITTER))
    journey.advance(storage.PATIENCE.total_seconds())
    cancelled(journey)

    assert run(journey, poster)["disabled"] == 0
    assert state(journey).failing_for == pytest.approx(0, abs=5)


def test_nobody_enables_an_endpoint_that_is_not_there(journey: Journey):
    assert not transaction(journey.engine, lambda c: enable(c, "typo", lease=LEASE))


def test_an_endpoint_has_no_more_calls_at_once_than_its_connections(
    journey: Journey, shop: Receiver, posters: Posters
):
    poster = posters(connections=3, shop=shop.url())
    three = threading.Barrier(3, timeout=5)

    def wait_for_two_more(_: Heard) -> Answer:
        three.wait()
        return Answer()

    shop.answer = wait_for_two_more
    many_cancelled(journey, 30)

    assert run(journey, poster)["told"] == 30
    assert shop.most_at_once == 3


def test_an_endpoint_in_a_blackhole_delays_no_other(
    journey: Journey, shop: Receiver, posters: Posters
):
    with blackhole() as nowhere:
        poster = posters(shop=shop.url(), crm=nowhere)
        many_cancelled(journey, 100, OnStatus(endpoint="crm"))
        many_cancelled(journey, 20)
        tally: Counter[str] = Counter()
        while tally["told"] < 20:
            journey.advance(1)
            tally += post(journey.ledger, poster, working=0.1)

    assert tally["failed"] == 0  # the calls into it are still under way
    assert tally["claimed"] == 20 + poster.in_flight


def test_an_endpoint_that_takes_its_time_is_told_on_within_one_run(
    journey: Journey, shop: Receiver, posters: Posters
):
    poster = posters(connections=2, shop=shop.url())
    shop.answer = answer_after(3 * BREATH)
    many_cancelled(journey, 6)
    journey.advance(1)

    tally = post(journey.ledger, poster, working=10)
    assert (tally["claimed"], tally["told"]) == (6, 6)


def test_calls_that_outlast_a_run_are_settled_by_the_next_one(journey: Journey, posters: Posters):
    with blackhole() as nowhere:
        poster = posters(connections=2, deadline=SHORT, crm=nowhere)
        message_id = cancelled(journey, OnStatus(endpoint="crm"))
        journey.advance(1)
        assert post(journey.ledger, poster, working=0.1) == Counter(claimed=1)
        assert tries(journey, message_id) == [(1, False)]

        assert run(journey, poster) == Counter(failed=1)
    assert state(journey, "crm").error in {"deadline", "ReadTimeoutError"}


class Unlucky(Poster):
    """Whose process dies when it has posted, before it could write that down."""

    def collect(self, wait: float) -> list[Posted]:
        if super().collect(wait):
            raise SystemExit
        return []


def test_after_a_crash_the_same_webhook_comes_again(
    journey: Journey, shop: Receiver, poster: Poster
):
    cancelled(journey)
    unlucky = object.__new__(Unlucky)
    unlucky.__dict__.update(poster.__dict__)
    with pytest.raises(SystemExit):
        run(journey, unlucky)
    poster._in_flight.clear()

    assert run(journey, poster) == Counter()  # its lease holds
    assert run(journey, poster, after=LEASE.total_seconds())["told"] == 1
    first, again = shop.heard
    assert first.headers["webhook-id"] == again.headers["webhook-id"]


def test_two_beats_make_one_run_a_second(journey: Journey, poster: Poster):
    run(journey, poster)

    assert run(journey, poster, after=0) == Counter(second=1)


def test_a_lease_outlasts_every_call_and_the_run_that_hears_of_it():
    assert LEASE.total_seconds() >= DEADLINE + float(str(SETTINGS["task_time_limit"]))


def test_an_endpoint_that_no_file_names_is_refused_at_the_edge(journey: Journey, poster: Poster):
    with pytest.raises(ConfigurationError, match="no endpoint 'typo' is in the database"):
        journey.send(on_status=OnStatus(endpoint="typo"))


def test_a_repeated_key_gives_the_message_also_when_its_endpoint_is_gone(
    journey: Journey, poster: Poster
):
    message_id = journey.send(on_status=SHOP, key="k")
    transaction(journey.engine, lambda c: sync_endpoints(c, []))

    assert journey.send(on_status=SHOP, key="k") == message_id


def test_what_is_owed_to_an_endpoint_that_was_removed_waits_until_it_is_back(
    journey: Journey, shop: Receiver, poster: Poster
):
    message_id = cancelled(journey)
    transaction(journey.engine, lambda c: sync_endpoints(c, []))
    assert run(journey, poster) == Counter()

    transaction(journey.engine, lambda c: sync_endpoints(c, ["shop"]))
    assert run(journey, poster)["told"] == 1
    assert tries(journey, message_id) == [(1, True)]


def test_a_key_that_no_longer_opens_is_left_out_and_the_change_is_told(
    journey: Journey, shop: Receiver, poster: Poster
):
    cancelled(journey, key="order-7")
    journey.change("UPDATE cascade.messages SET content = '\\x00'")

    assert run(journey, poster)["told"] == 1
    assert shop.heard[0].data["key"] is None
