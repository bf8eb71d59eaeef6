"""A webhook is repeated until it is acknowledged, or the provider's schedule is over."""

from __future__ import annotations

import itertools

import pytest

from cascade.sandbox import cloud, devino, notify, smsc
from cascade.sandbox.clock import Tempo
from cascade.sandbox.outcomes import Channel
from tests.sandbox.receiver import Receiver
from tests.sandbox.running import phone_for


def test_a_webhook_is_repeated_until_it_is_acknowledged(sandbox, receiver):
    receiver.refuse_first = 3
    sandbox.viber({"address": phone_for(Channel.VIBER, 1)})
    heard = receiver.hear(4)
    assert [call.status for call in heard] == [500, 500, 500, 200]
    assert len({call.body for call in heard}) == 1
    sandbox.settle()
    assert len(receiver.heard) == 4


def test_what_is_not_acknowledged_is_pending(sandbox, receiver):
    receiver.refuse_first = 10**6
    sandbox.viber({"address": phone_for(Channel.VIBER, 1)})
    receiver.hear(2)
    assert sandbox.http.get(f"{sandbox.url}/pending").json() == {"pending": 1}


def test_what_is_still_to_come_is_pending(sandbox):
    sandbox.viber({"address": phone_for(Channel.VIBER, 8), "validityPeriodSec": 86400})
    sandbox.viber({"address": phone_for(Channel.VIBER, 6), "validityPeriodSec": 86400})
    while sandbox.http.get(f"{sandbox.url}/pending").json()["pending"] > 1:
        pass  # the two are handed on
    assert sandbox.http.get(f"{sandbox.url}/pending").json() == {"pending": 1}


def test_an_address_that_is_none_is_given_up_without_harm(sandbox, receiver):
    sandbox.notify(phone=phone_for(Channel.VK, 6), status_url="nowhere")
    sandbox.notify(phone=phone_for(Channel.VK, 6), message_id="ours")
    assert receiver.hear(1)[0].json()["message_id"] == "ours"
    assert {line["client_ref"]: line["status"] for line in sandbox.of("told")} == {
        "a" * 32: None,
        "ours": 200,
    }


def test_notify_gives_up_after_ten_tries_and_was_not_heard(sandbox, receiver):
    receiver.refuse_first = 10**6
    sandbox.notify(phone=phone_for(Channel.VK, 6))
    sandbox.settle()
    assert len(receiver.heard) == 10
    assert [line["status"] for line in sandbox.of("told")] == [500] * 10
    assert [line["word"] for line in sandbox.of("unheard")] == ["sent"]


def test_a_receiver_that_comes_back_hears_what_it_missed(sandbox):
    gone = Receiver()
    gone.close()
    sandbox.notify(phone=phone_for(Channel.VK, 1), status_url=f"{gone.url}/webhooks")
    while sandbox.events() != ["accepted", "delivered"]:
        pass
    back = Receiver(gone.port)
    try:
        assert sorted(heard.json()["status"] for heard in back.hear(2)) == ["delivered", "sent"]
    finally:
        back.close()


@pytest.mark.parametrize("provider", [notify, devino, cloud, smsc])
@pytest.mark.parametrize("scale", [1.0, 0.05, 0.0])
def test_half_a_minute_without_a_receiver_exhausts_nobody(provider, scale):
    pauses = list(provider.RETRIES.pauses(Tempo(scale=scale)))
    assert sum(pauses) > 30
    assert min(pauses) >= 0.5


def test_pauses_double_up_to_the_longest():
    assert list(notify.RETRIES.pauses(Tempo()))[:4] == [5, 10, 20, 40]
    devinos = list(itertools.islice(devino.RETRIES.pauses(Tempo()), 8))
    assert devinos == [10, 20, 40, 80, 160, 300, 300, 300]


@pytest.mark.parametrize(
    ("provider", "hours"), [(devino, 24), (cloud, 7 * 24), (smsc, 12)], ids=str
)
def test_a_schedule_lasts_about_as_long_as_its_provider_promises(provider, hours):
    assert sum(provider.RETRIES.pauses(Tempo())) / 3600 == pytest.approx(hours, rel=0.2)
