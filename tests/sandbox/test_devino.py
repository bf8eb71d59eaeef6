"""Devino judges a bulk call item by item and calls back in two spellings."""

from __future__ import annotations

import pytest
import requests

from cascade.sandbox.outcomes import Channel
from tests.sandbox.running import phone_for


def item(digit=1, *, serial=0, **changes):
    return {"address": phone_for(Channel.VIBER, digit, start=f"7916{serial:02}")} | changes


def told(receiver, count):
    """(status, error) of the first `count` callbacks, in one spelling and sorted."""
    events = [event for heard in receiver.hear(count) for event in heard.json()]
    return sorted(
        (event["status"].upper(), event.get("errorCode", "").upper().replace("-", "_"))
        for event in events
    )


def test_a_wrong_password_is_refused(sandbox):
    response = sandbox.viber(item(), password="guessed")
    assert (response.status_code, response.json()["status"]) == (401, "error-auth")
    assert sandbox.events() == ["refused"]


@pytest.mark.parametrize("items", [[], [item()] * 101, ["text"]])
def test_a_call_that_is_no_bulk_of_up_to_100_is_a_syntax_error(sandbox, items):
    response = sandbox.viber(*items)
    assert (response.status_code, response.json()["status"]) == (400, "error-syntax")


def test_a_call_of_100_is_accepted(sandbox):
    answer = sandbox.viber(*[item(serial=serial) for serial in range(100)]).json()
    assert [message["code"] for message in answer["messages"]] == ["ok"] * 100


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("error-subject-unknown", {"subject": "OTHER"}),
        ("error-subject-format", {"subject": "TWELVE_CHARS"}),
        ("error-subject-not-specified", {"subject": ""}),
        ("error-priority-format", {"priority": "now"}),
        ("error-instant-message-type-format", {"type": "sms"}),
        ("error-content-type-format", {"contentType": "video"}),
        ("error-content-not-specified", {"content": {}}),
        ("error-content-type-format", {"content": {"text": "я" * 1001}}),
        ("error-validity-period-seconds-format", {"validityPeriodSec": 29}),
        ("error-validity-period-seconds-format", {"validityPeriodSec": 86401}),
        ("error-validity-period-seconds-format", {"validityPeriodSec": "60"}),
        ("error-address-format", {"address": "+79160011111"}),
        ("error-address-not-specified", {"address": ""}),
    ],
)
def test_a_bad_item_is_refused_and_its_neighbours_are_not(sandbox, code, changes):
    answer = sandbox.viber(item(serial=1), item(**changes), item(serial=2)).json()
    assert [message["code"] for message in answer["messages"]] == ["ok", code, "ok"]
    refused = [line for line in sandbox.ledger() if line["event"] == "refused"]
    assert [line["code"] for line in refused] == [code]


def test_an_item_overrides_the_shared_data(sandbox):
    answer = sandbox.viber(item(subject="SHOP"), item(serial=1), common={"subject": "OTHER"})
    codes = [message["code"] for message in answer.json()["messages"]]
    assert codes == ["ok", "error-subject-unknown"]


def test_ids_are_json_numbers_that_a_double_cannot_hold(sandbox):
    answer = sandbox.viber(item(serial=1), item(serial=2)).json()
    ids = [message["providerId"] for message in answer["messages"]]
    assert all(isinstance(ref, int) and 2**53 < ref < 2**63 for ref in ids)
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("digit", "callbacks", "events"),
    [
        (1, [("DELIVERED", "")], ["accepted", "delivered"]),
        (2, [("DELIVERED", "")], ["accepted", "delivered"]),
        (3, [("DELIVERED", ""), ("READ", "")], ["accepted", "delivered", "read"]),
        (4, [("UNDELIVERED", "NOT_VIBER_USER")], ["accepted", "unsupported"]),
        (5, [("UNDELIVERED", "USER_BLOCKED")], ["accepted", "undeliverable"]),
        (6, [], ["accepted"]),
        (7, [("DELIVERED", "")], ["accepted", "delivered"]),
        (8, [("VP_EXPIRED", "")], ["accepted", "expired"]),
    ],
)
def test_the_digits_of_viber(sandbox, receiver, digit, callbacks, events):
    assert sandbox.viber(item(digit, validityPeriodSec=30)).json()["messages"][0]["code"] == "ok"
    assert told(receiver, len(callbacks)) == callbacks
    sandbox.settle()
    assert len(receiver.heard) == len(callbacks)
    assert sandbox.events() == events


def test_a_call_of_nothing_but_9s_is_accepted_and_never_answered(sandbox, receiver):
    with pytest.raises(requests.ConnectionError):
        sandbox.viber(item(9, serial=1), item(9, serial=2))
    assert told(receiver, 2) == [("DELIVERED", "")] * 2
    assert sorted(sandbox.events()) == [
        "accepted",
        "accepted",
        "ambiguous",
        "ambiguous",
        "delivered",
        "delivered",
    ]


def test_a_9_among_others_is_answered_and_delivered_at_once(sandbox, receiver):
    answer = sandbox.viber(item(9, serial=1), item(6, serial=2)).json()
    assert [message["code"] for message in answer["messages"]] == ["ok", "ok"]
    assert told(receiver, 1) == [("DELIVERED", "")]


def test_callbacks_are_arrays_in_both_spellings(sandbox, receiver):
    refs = {
        message["providerId"]
        for message in sandbox.viber(*[item(serial=serial) for serial in range(20)]).json()[
            "messages"
        ]
    }
    events = [event for heard in receiver.hear(20) for event in heard.json()]
    upper = [event for event in events if event.keys() == {"id", "receivedAt", "status"}]
    lower = [event for event in events if event.keys() == {"messageId", "receivedAt", "status"}]
    assert upper
    assert lower
    assert {event["status"] for event in upper} == {"DELIVERED"}
    assert {event["status"] for event in lower} == {"delivered"}
    assert {event.get("id") or event.get("messageId") for event in events} == refs
    assert all(len(event["receivedAt"]) == 13 for event in events)


def test_a_poll_says_what_is_known(sandbox, receiver):
    sent = [item(3, serial=1), item(5, serial=2), item(6, serial=3)]
    answer = sandbox.viber(*sent).json()
    refs = [message["providerId"] for message in answer["messages"]]
    receiver.hear(3)
    known = sandbox.devino("status", {"messages": [*refs, 5]}).json()["messages"]
    assert [message["providerId"] for message in known] == [*refs, 5]
    assert [message.get("status") for message in known] == ["read", "undelivered", "sent", None]
    assert known[1]["errorCode"] == "user-blocked"
    assert known[3]["code"] == "error-instant-message-provider-id-unknown"


def test_a_poll_needs_the_password_and_takes_up_to_100(sandbox):
    assert sandbox.devino("status", {"messages": [5]}, password="guessed").status_code == 401
    assert sandbox.devino("status", {"messages": [5] * 101}).status_code == 400
