"""Every message that comes in is booked as a call, whatever the answer; second sends show."""

from __future__ import annotations

import datetime as dt

import pytest

from cascade.sandbox.clock import now
from cascade.sandbox.outcomes import Channel
from tests.sandbox.running import phone_for


def time(line, name):
    return dt.datetime.fromisoformat(line[name])


def test_a_call_says_when_it_came_in_and_how_long_the_message_was_given(sandbox):
    before = now()
    sandbox.notify(ttl="90")
    (call,), (accepted,) = sandbox.of("called"), sandbox.of("accepted")
    assert call["accepted"]
    assert (call["ref"], call["client_ref"], call["ttl"]) == ("a" * 32, "a" * 32, 90)
    assert call["recipient"] == "+" + phone_for(Channel.VK, 1)
    assert call["at"] == call["received_at"] == accepted["received_at"]
    assert before <= time(call, "at") <= time(accepted, "accepted_at")


def test_the_ttl_of_a_call_is_in_seconds_and_none_where_there_is_none_to_read(sandbox):
    sandbox.sms(valid="02:30", mes="Первый")
    sandbox.sms(valid="3", mes="Второй")
    sandbox.sms()
    sandbox.viber({"address": phone_for(Channel.VIBER, 1)})
    sandbox.whatsapp()
    sandbox.notify(ttl="soon")
    sandbox.notify(ttl="5")
    ttls = [call["ttl"] for call in sandbox.of("called")]
    assert ttls == [9000, 10800, None, 60, None, None, 5]


def test_a_refused_call_says_so_and_with_which_code(sandbox):
    sandbox.notify(phone=phone_for(Channel.VK, 8), message_id="ours")
    sandbox.notify(phone=phone_for(Channel.VK, 4), message_id="theirs")
    sandbox.whatsapp(token="guessed")
    calls = [(one["client_ref"], one["accepted"], one["code"]) for one in sandbox.of("called")]
    assert calls == [
        ("ours", False, "THROTTLED"),
        ("theirs", False, "UNSUPPORTED"),
        ("b" * 32, False, "190"),
    ]


def test_each_message_of_a_bulk_call_is_a_call(sandbox):
    good = {"address": phone_for(Channel.VIBER, 1), "comment": "good"}
    sandbox.viber(good, {"address": "12", "comment": "bad"})
    calls = {one["client_ref"]: one["accepted"] for one in sandbox.of("called")}
    assert calls == {"good": True, "bad": False}


SENDS = {
    "notify-vk": lambda sandbox: sandbox.notify(message_id="ours"),
    "devino-viber": lambda sandbox: sandbox.viber(
        {"address": phone_for(Channel.VIBER, 1), "comment": "ours"}
    ),
    "cloud-whatsapp": lambda sandbox: sandbox.whatsapp(biz_opaque_callback_data="ours"),
}


@pytest.mark.parametrize("account", SENDS)
def test_a_reference_that_is_known_is_a_second_message(sandbox, account):
    SENDS[account](sandbox)
    SENDS[account](sandbox)
    sandbox.settle()
    assert [line["client_ref"] for line in sandbox.of("accepted")] == ["ours"] * 2
    assert len(sandbox.of("delivered")) == 2


def test_smsc_too_knows_a_message_by_its_text_and_not_by_our_reference(sandbox):
    sandbox.sms(id="ours", mes="Заказ 1 готов")
    sandbox.sms(id="ours", mes="Заказ 2 готов")
    assert [line["client_ref"] for line in sandbox.of("accepted")] == ["ours"] * 2
