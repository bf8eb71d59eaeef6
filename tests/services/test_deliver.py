from __future__ import annotations

import random
import time

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from cascade.domain.hint import Hint
from cascade.domain.message import Template
from cascade.domain.state import Channel, Lane
from cascade.services.deliver import deliver
from cascade.services.deployment import LEASE, Deployment
from cascade.services.settle import settle
from tests.channels.wire import refused_url
from tests.services.courier import Courier, Desk, Line, able
from tests.services.journey import PHONE, WORDS, Journey, a_step


pytestmark = pytest.mark.integration

Deployed = Callable[..., Deployment]

OTHER = "+79161234568"


def ids(hints: list[Hint]) -> list[int]:
    taken = [hint.attempt_id for hint in hints]
    hints.clear()
    return taken


class Clock:
    """The true monotonic time, that a test may move."""

    def __init__(self) -> None:
        self.shift = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.shift


def test_an_accepted_message_is_sent_with_its_words_and_its_reference(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.policy(a_step(Channel.VK, ttl=60))
    message_id = journey.send(text="Заказ #n#", variables={"n": "1024"})

    counts = deliver(deployed(Courier(url=desk.url)), Channel.VK, Lane.NORMAL, ids(hints))

    [line] = desk.lines
    assert (line["phone"], line["text"]) == (PHONE, "Заказ 1024")
    assert line["ref"] == journey.attempt(message_id).client_ref
    assert line["ttl"] in {59, 60}
    assert (counts["claimed"], counts["accepted"]) == (1, 1)
    assert journey.state(message_id) == "sent"


def test_an_unsupported_recipient_moves_on_and_the_next_channels_hint_follows(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    moved, stayed = journey.send(), journey.send(to=OTHER)
    desk.says = lambda line: "unsupported" if line["phone"] == PHONE else "accepted"

    counts = deliver(deployed(Courier(url=desk.url)), Channel.VK, Lane.NORMAL, ids(hints))

    assert hints == [Hint(Channel.OK, Lane.NORMAL, journey.attempt(moved).id)]
    assert +counts == {"claimed": 2, "accepted": 1, "unsupported": 1, "opened": 1}
    assert journey.state(stayed) == "sent"


def test_a_hint_that_comes_five_times_at_once_sends_once(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.cascade.send_many([{"to": PHONE}] * 20, text=WORDS)
    mine = ids(hints)
    courier = Courier(url=desk.url)

    with ThreadPoolExecutor(5) as pool:
        done = [
            pool.submit(deliver, deployed(courier), Channel.VK, Lane.NORMAL, mine)
            for _ in range(5)
        ]
        counts = [one.result()["claimed"] for one in done]

    assert sum(counts) == 20
    assert len({line["ref"] for line in desk.lines}) == len(desk.lines) == 20


def test_many_items_share_a_call_where_the_provider_takes_them_in_bulk(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.cascade.send_many([{"to": PHONE}] * 25, text=WORDS)
    courier = Courier(url=desk.url, capabilities=able(bulk=10))

    counts = deliver(deployed(courier), Channel.VK, Lane.NORMAL, ids(hints))

    assert sorted(len(call) for call in desk.calls) == [5, 10, 10]
    assert counts["accepted"] == 25


def test_one_silent_answer_holds_up_no_neighbour(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    silent = journey.send()
    others = [journey.send(to=OTHER) for _ in range(6)]
    seen: list[bool] = []

    def are_settled() -> bool:
        desk.closing.wait(0.01)
        return [journey.state(one) for one in others] == ["sent"] * 6

    def says(line: Line) -> str:
        if line["phone"] == PHONE:
            seen.append(any(are_settled() for _ in range(250)))
        return "accepted"

    desk.says = says
    deliver(deployed(Courier(url=desk.url), flight=2), Channel.VK, Lane.NORMAL, ids(hints))

    assert seen == [True]
    assert journey.state(silent) == "sent"


def test_nor_a_neighbours_next_step(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.send()
    other = journey.send(to=OTHER)
    mine = ids(hints)
    seen: list[bool] = []

    def is_hinted_at() -> bool:
        desk.closing.wait(0.01)
        return Hint(Channel.OK, Lane.NORMAL, journey.attempt(other).id) in hints

    def says(line: Line) -> str:
        if line["phone"] != PHONE:
            return "unsupported"
        seen.append(any(is_hinted_at() for _ in range(250)))
        return "accepted"

    desk.says = says
    deliver(deployed(Courier(url=desk.url), flight=2), Channel.VK, Lane.NORMAL, mine)

    assert seen == [True]


def test_steps_that_open_within_a_moment_share_a_hint(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.cascade.send_many([{"to": PHONE}] * 250, text=WORDS)
    desk.says = lambda _: "unsupported"
    deployment = deployed(Courier(url=desk.url))
    published: list[int] = []

    def publish(opened: Iterable[Hint]) -> int:
        published.append(len(list(opened)))
        return published[-1]

    deployment = replace(deployment, ledger=replace(deployment.ledger, publish=publish))
    moment = time.monotonic()
    deliver(deployment, Channel.VK, Lane.NORMAL, ids(hints), clock=lambda: moment)

    assert [one for one in published if one] == [250]


def test_hints_are_published_though_a_later_result_cannot_be_settled(  # all fixtures
    journey: Journey,
    hints: list[Hint],
    desk: Desk,
    deployed: Deployed,
    monkeypatch: pytest.MonkeyPatch,
):
    journey.cascade.send_many([{"to": PHONE}] * 8, text=WORDS)
    mine = ids(hints)
    desk.says = lambda _: "unsupported"
    monkeypatch.setattr("cascade.services.deliver.SETTLE_SET", 1)
    sets: list[int] = []

    def fails_later(deployment, results):
        sets.append(len(results))
        if len(sets) > 1:
            raise OperationalError("settle", {}, Exception("the database is away"))
        return settle(deployment, results)

    monkeypatch.setattr("cascade.services.deliver.settle", fails_later)
    with pytest.raises(OperationalError):
        deliver(deployed(Courier(url=desk.url), flight=1), Channel.VK, Lane.NORMAL, mine)

    assert len(hints) == sets[0] == 1


def test_no_transaction_is_open_while_the_provider_is_called(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.send()
    seen: list[tuple[int, str]] = []

    def says(_line: object) -> str:
        row = journey.row(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        state = journey.row("SELECT state FROM cascade.attempts")[0]
        seen.append((row[0], state))
        return "accepted"

    desk.says = says
    deliver(deployed(Courier(url=desk.url)), Channel.VK, Lane.NORMAL, ids(hints))

    assert seen == [(0, "sending")]


def test_what_cannot_be_said_is_rejected_alone(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    templates = {"vk": Template("ready", "ru", {})}
    unsayable = journey.send(templates=templates)
    others = [journey.send() for _ in range(8)]
    courier = Courier(url=desk.url, capabilities=able(bulk=100))

    counts = deliver(deployed(courier), Channel.VK, Lane.NORMAL, ids(hints))

    assert (counts["rejected"], counts["accepted"]) == (1, 8)
    assert journey.attempt(unsayable, 0).error == "unbuildable:UnsayableError"
    assert [journey.state(one) for one in others] == ["sent"] * 8


def test_a_bulk_that_falls_apart_into_more_calls_than_slots_is_called_in_turn(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    for number in range(24):
        journey.send(templates={"vk": Template("t", "ru", {})} if number % 2 else {})
    courier = Courier(url=desk.url, capabilities=able(bulk=100))

    counts = deliver(deployed(courier, flight=2), Channel.VK, Lane.NORMAL, ids(hints))

    assert (counts["rejected"], counts["accepted"]) == (12, 12)


def test_a_row_that_cannot_be_opened_is_rejected_alone(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    swapped, good = journey.send(), journey.send(to=OTHER)
    journey.change(
        "UPDATE cascade.messages SET recipient ="
        " (SELECT recipient FROM cascade.messages WHERE id = :good) WHERE id = :swapped",
        good=good,
        swapped=swapped,
    )

    deliver(deployed(Courier(url=desk.url)), Channel.VK, Lane.NORMAL, ids(hints))

    assert journey.attempt(swapped, 0).error == "unreadable:UnsealableError"
    assert [line["phone"] for line in desk.lines] == [OTHER]
    assert journey.state(good) == "sent"


def test_an_account_without_an_adapter_is_rejected_and_the_cascade_goes_on(
    journey: Journey, hints: list[Hint], deployed: Deployed
):
    message_id = journey.send()

    counts = deliver(deployed(), Channel.VK, Lane.NORMAL, ids(hints))

    assert counts["rejected"] == counts["opened"] == 1
    assert journey.state(message_id, 0) == "rejected"


@pytest.mark.parametrize(("says", "state"), [("busy", "retry"), (["garbage"], "unknown")])
def test_an_answer_decides_between_again_and_never_again(  # all fixtures
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed, says: object, state: str
):
    message_id = journey.send()
    desk.says = lambda _line: says

    counts = deliver(deployed(Courier(url=desk.url)), Channel.VK, Lane.NORMAL, ids(hints))

    assert (journey.state(message_id), counts[state]) == (state, 1)
    assert len(desk.lines) == 1


def test_a_refused_connection_is_tried_again_later(
    journey: Journey, hints: list[Hint], deployed: Deployed
):
    message_id = journey.send()

    deliver(deployed(Courier(url=refused_url())), Channel.VK, Lane.NORMAL, ids(hints))

    attempt = journey.attempt(message_id)
    assert (attempt.state, attempt.error) == ("retry", "NewConnectionError")


def test_a_receipt_during_the_call_is_not_undone_by_its_answer(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    message_id = journey.send()

    def says(_line: object) -> str:
        journey.deliver(message_id)
        return "accepted"

    desk.says = says
    deliver(deployed(Courier(url=desk.url)), Channel.VK, Lane.NORMAL, ids(hints))

    assert journey.state(message_id) == "delivered"
    assert journey.message(message_id).state == "delivered"
    assert len(journey.charges()) == 1


def test_a_connection_lost_while_settling_is_replaced(  # all fixtures
    journey: Journey,
    hints: list[Hint],
    desk: Desk,
    deployed: Deployed,
    cut_connection: Callable[[str], list[str]],
):
    message_id = journey.send()
    cut = cut_connection("greatest(a.state, 'sent')")

    deliver(deployed(Courier(url=desk.url)), Channel.VK, Lane.NORMAL, ids(hints))

    assert len(cut) == 1
    assert journey.state(message_id) == "sent"
    assert len(desk.lines) == 1


def test_what_could_not_be_settled_becomes_unknown_and_is_not_sent_again(  # all fixtures
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed, impatient: Engine
):
    message_id = journey.send()
    mine = ids(hints)
    deployment = deployed(Courier(url=desk.url), ledger=replace(journey.ledger, engine=impatient))
    holder = journey.engine.connect()

    def says(_line: object) -> str:
        holder.execute(text("LOCK TABLE cascade.attempts IN EXCLUSIVE MODE"))
        return "accepted"

    desk.says = says
    with pytest.raises(OperationalError):
        deliver(deployment, Channel.VK, Lane.NORMAL, mine)
    holder.close()
    assert journey.state(message_id) == "sending"
    assert deployment.transport.in_flight == 0

    journey.advance(LEASE + 1)
    journey.tick()
    deliver(deployment, Channel.VK, Lane.NORMAL, mine)
    assert journey.state(message_id) == "unknown"
    assert len(desk.lines) == 1


def test_after_ten_seconds_the_rest_is_published_again(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.cascade.send_many([{"to": PHONE}] * 10, text=WORDS, priority="bulk")
    mine = ids(hints)
    clock = Clock()

    def says(_line: object) -> str:
        clock.shift = 10.0
        return "accepted"

    desk.says = says
    counts = deliver(
        deployed(Courier(url=desk.url), flight=3), Channel.VK, Lane.BULK, mine, clock=clock
    )

    assert counts["republished"] == 10 - counts["claimed"]
    assert 3 <= counts["claimed"] < 10
    assert hints == [Hint(Channel.VK, Lane.BULK, one) for one in mine[counts["claimed"] :]]
    assert counts["accepted"] == counts["claimed"]


def test_whoever_stalls_after_the_claim_beyond_its_lease_makes_no_call(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    message_id = journey.send()
    mine = ids(hints)
    clock = Clock()

    @event.listens_for(journey.engine, "commit")
    def stall(_connection):
        clock.shift = LEASE

    deployment = deployed(Courier(url=desk.url), clock=clock)
    try:
        deliver(deployment, Channel.VK, Lane.NORMAL, mine, clock=clock)
    finally:
        event.remove(journey.engine, "commit", stall)

    assert desk.lines == []
    assert journey.state(message_id) == "retry"


def test_no_call_is_begun_after_the_time_of_its_attempt(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.policy(a_step(Channel.VK, ttl=2), a_step(Channel.OK))
    message_id = journey.send()
    mine = ids(hints)
    clock = Clock()

    @event.listens_for(journey.engine, "commit")
    def stall(_connection):
        clock.shift = 2.1

    deployment = deployed(Courier(url=desk.url), clock=clock)
    try:
        deliver(deployment, Channel.VK, Lane.NORMAL, mine, clock=clock)
    finally:
        event.remove(journey.engine, "commit", stall)

    assert desk.lines == []
    assert journey.state(message_id) == "retry"


def test_a_whole_cascade_runs_on_hints_alone(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.policy(a_step(Channel.VK), a_step(Channel.OK), a_step(Channel.SMS))
    message_id = journey.send()
    couriers = [
        Courier(url=desk.url),
        Courier(url=desk.url, account="notify-ok", channel=Channel.OK),
        Courier(url=desk.url, account="smsc", channel=Channel.SMS),
    ]
    deployment = deployed(*couriers)
    desk.says = lambda _line: ("unsupported", "rejected", "accepted")[len(desk.calls) - 1]

    for channel in (Channel.VK, Channel.OK, Channel.SMS):
        deliver(deployment, channel, Lane.NORMAL, ids(hints))
    journey.deliver(message_id)

    assert [one.state for one in journey.attempts(message_id)] == [
        "unsupported",
        "rejected",
        "delivered",
    ]
    assert len({line["ref"] for line in desk.lines}) == 3
    assert journey.message(message_id).state == "delivered"
    assert len(journey.charges()) == 1


def test_random_answers_leave_every_message_with_one_way_on(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    chance = random.Random(7)  # noqa: S311  # the same answers every time
    journey.cascade.send_many([{"to": PHONE}] * 60, text=WORDS)
    desk.says = lambda _line: chance.choice(["accepted", "unsupported", "rejected", "busy"])
    courier = Courier(url=desk.url, capabilities=able(bulk=7))

    counts = deliver(deployed(courier), Channel.VK, Lane.NORMAL, ids(hints))

    ended = counts["unsupported"] + counts["rejected"]
    assert counts["accepted"] + counts["retry"] + ended == counts["claimed"] == 60
    assert len(hints) == counts["opened"] == ended
    live = journey.row("SELECT count(*) FROM cascade.attempts WHERE due_at IS NOT NULL")
    assert live[0] == 60


def test_answers_of_calls_already_made_are_settled_though_no_more_can_be_claimed(
    journey: Journey, hints: list[Hint], desk: Desk, deployed: Deployed
):
    journey.cascade.send_many([{"to": PHONE}] * 8, text=WORDS)
    mine = ids(hints)
    claims: list[str] = []

    def only_one_claim(_connection, _cursor, statement, *_rest):
        if "tries = a.tries + 1" in statement:
            claims.append(statement)
            if len(claims) > 1:
                raise OperationalError("claim", {}, Exception("the database is away"))

    event.listen(journey.engine, "before_cursor_execute", only_one_claim)
    try:
        deployment = deployed(Courier(url=desk.url), flight=4)
        counts = deliver(deployment, Channel.VK, Lane.NORMAL, mine)
    finally:
        event.remove(journey.engine, "before_cursor_execute", only_one_claim)

    assert (counts["claimed"], counts["accepted"]) == (4, 4)
    assert (
        journey.row("SELECT count(*) AS sent FROM cascade.attempts WHERE state = 'sent'").sent == 4
    )
    assert sorted(ids(hints)) == sorted(mine[4:])  # published again, for whoever can claim them
