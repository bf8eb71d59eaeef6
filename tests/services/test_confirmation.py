"""`confirm = "poll"`: what an unsigned webhook says was delivered is charged once a poll says so."""

from __future__ import annotations

import asyncio
import logging
import uuid

from collections.abc import Callable, Sequence
from urllib.parse import urlencode

import pytest

from cascade.channels.base import Accepted
from cascade.domain.state import Channel
from cascade.gateway.app import make_app
from cascade.services.deployment import Deployment, Ledger
from cascade.services.poll import poll
from tests.channels.samples import TOKEN
from tests.channels.test_account import with_confirm
from tests.channels.wire import Connection, provider, refused_url
from tests.gateway.asgi import Client, talk
from tests.services.courier import AskableCourier, Desk
from tests.services.journey import Journey, a_step


pytestmark = pytest.mark.integration

PATH = f"/receipts/smsc/{TOKEN}"
HOURS = 3600

Says = Callable[..., None]


@pytest.fixture
def asking(desk: Desk, deployed) -> Deployment:
    """It asks a provider that knows of no delivery, until a test has it say so."""
    desk.says = lambda _line: "sent"
    return deployed(AskableCourier(url=desk.url, account="smsc", channel=Channel.SMS))


@pytest.fixture
def hears(ledger: Ledger) -> Says:
    """The gateway takes webhooks with these references, all of which it acknowledges."""
    account = with_confirm("poll")

    def hear(*refs: str, status: str = "1", at: int = 0) -> None:
        async def work(client: Client) -> set[int]:
            said = {"status": status} | ({"ts": at} if at else {})
            bodies = [urlencode({"id": one, **said}).encode() for one in refs]
            answers = await asyncio.gather(*(client.post(PATH, body) for body in bodies))
            return {answer.status for answer in answers}

        app = make_app(
            adapters={account.account: account},
            keyring=ledger.keyring,
            engine=ledger.engine,
            trusted_hops=0,
        )
        assert talk(app, work) == {200}

    return hear


def sent(journey: Journey, number: int = 1) -> list[uuid.UUID]:
    """Messages by SMS that SMSC has taken."""
    journey.policy(a_step(Channel.SMS, ttl=6 * HOURS))
    messages = [journey.send(to=f"+7916{one:07}") for one in range(number)]
    journey.settle(*((one, Accepted()) for one in journey.claim(*messages)))
    return messages


def refs(journey: Journey, messages: Sequence[uuid.UUID]) -> list[str]:
    return [journey.attempt(one).client_ref for one in messages]


def rounds(journey: Journey, asking: Deployment, seconds: float) -> None:
    """Collector and poll, second by second."""
    for _ in range(int(seconds)):
        journey.collect()
        poll(asking)
        journey.advance(1)
    journey.collect()


def test_a_real_delivery_is_charged_once_after_the_poll(
    journey: Journey, hears: Says, desk: Desk, asking: Deployment
):
    [message_id] = sent(journey)
    hears(*refs(journey, [message_id]))

    assert journey.collect()["unconfirmed"] == 1
    assert journey.state(message_id) == "sent"
    assert journey.charges() == []

    desk.says = lambda _line: "delivered"
    rounds(journey, asking, 3)

    assert journey.state(message_id) == "delivered"
    assert len(journey.charges()) == 1
    assert len(desk.lines) == 1
    assert journey.row("SELECT count(*) FROM cascade.receipts WHERE applied_at IS NULL")[0] == 0


def test_a_poll_in_the_very_words_of_the_webhook_is_no_repetition_of_it(
    journey: Journey, hears: Says, deployed
):
    [message_id] = sent(journey)
    hears(*refs(journey, [message_id]))

    with provider(says_delivered) as smsc:
        account = with_confirm("poll")
        base_url = smsc.url.removesuffix("/send")
        rounds(journey, deployed(account.model_copy(update={"base_url": base_url})), 3)

    assert len(journey.charges()) == 1


def says_delivered(connection: Connection) -> None:
    while connection.read_request():
        body = b'{"status":1}'
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sock.sendall(head.encode() + body)


def test_a_thousand_forged_deliveries_charge_nothing(
    journey: Journey, hears: Says, asking: Deployment
):
    messages = sent(journey, 100)
    for at in range(1, 11):
        hears(*refs(journey, messages), at=at)
    assert journey.row("SELECT count(*) FROM cascade.receipts")[0] == 1000
    rounds(journey, asking, 4)

    assert {journey.state(one) for one in messages} == {"sent"}
    assert journey.charges() == []


def test_a_forged_delivery_holds_up_an_expiry_for_seconds_only(
    journey: Journey, hears: Says, asking: Deployment
):
    journey.policy(a_step(Channel.SMS, ttl=60), a_step(Channel.VK))
    message_id = journey.send()
    journey.call(message_id, Accepted())
    journey.advance(58)
    hears(*refs(journey, [message_id]))
    for _ in range(12):
        journey.tick(["smsc"])
        rounds(journey, asking, 1)

    assert [one.state for one in journey.attempts(message_id)] == ["expired", "queued"]


def test_a_poll_that_never_answers_is_asked_ever_more_rarely_and_told_in_the_end(
    journey: Journey, hears: Says, deployed, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.ERROR)
    [message_id] = sent(journey)
    silent = deployed(AskableCourier(url=refused_url(), account="smsc", channel=Channel.SMS))
    hears(*refs(journey, [message_id]))

    asked = 0
    for _ in range(60):
        journey.collect()
        asked += poll(silent)["asked"]
        journey.advance(1)
    assert 6 <= asked <= 8  # after 0, 1, 3, 7, 15 and 31 s, and this machine's own time
    for _ in range(10):
        journey.advance(512)
        journey.collect()
    assert "among these deliveries that no poll confirms, some wait in vain" in caplog.messages

    journey.advance(73 * HOURS)
    journey.collect()
    assert journey.charges() == []
    waiting = journey.row("SELECT count(*) FROM cascade.receipts WHERE applied_at IS NULL")
    assert waiting[0] == 1  # never lost: `cascade doctor` names it


def test_a_provider_that_answers_late_is_believed_then(
    journey: Journey, hears: Says, desk: Desk, asking: Deployment
):
    [message_id] = sent(journey)
    hears(*refs(journey, [message_id]))
    rounds(journey, asking, 20)
    desk.says = lambda _line: "delivered"
    rounds(journey, asking, 20)

    assert journey.state(message_id) == "delivered"
    assert len(journey.charges()) == 1


def test_what_charges_nothing_is_believed_at_once(journey: Journey, hears: Says):
    [message_id] = sent(journey)
    hears(*refs(journey, [message_id]), status="20")
    journey.collect()
    assert journey.state(message_id) == "undeliverable"


def test_a_read_after_a_confirmed_delivery_is_believed(
    journey: Journey, hears: Says, desk: Desk, asking: Deployment
):
    [message_id] = sent(journey)
    hears(*refs(journey, [message_id]))
    desk.says = lambda _line: "delivered"
    rounds(journey, asking, 3)
    hears(*refs(journey, [message_id]), status="2")
    journey.collect()
    assert journey.state(message_id) == "read"
    assert len(journey.charges()) == 1


def test_a_claim_about_no_message_of_ours_waits_like_any_orphan(
    journey: Journey, hears: Says, desk: Desk, asking: Deployment
):
    hears("0" * 32)
    assert journey.collect()["orphans"] == 1
    assert poll(asking)["asked"] == 0
    assert desk.lines == []
