"""The ledger holds what was accepted, what became of it, and what would be billed."""

from __future__ import annotations

import datetime as dt

from decimal import Decimal

import pytest

from cascade.sandbox.outcomes import Channel
from cascade.sandbox.prices import bill_for, prices_of, segments_of
from tests.sandbox.running import phone_for


FIELDS = {
    "event",
    "at",
    "account",
    "channel",
    "ref",
    "client_ref",
    "recipient",
    "units",
    "price",
    "amount",
    "currency",
    "received_at",
    "accepted_at",
    "code",
}


def test_a_delivery_has_an_exact_amount_and_no_other_line_has(sandbox, receiver):
    sandbox.notify(phone=phone_for(Channel.VK, 3), message_id="ours-1")
    receiver.hear(3)
    accepted, delivered, read = sandbox.ledger()
    assert (accepted["amount"], delivered["amount"], read["amount"]) == (None, "0.30", None)
    assert {line["price"] for line in (accepted, delivered, read)} == {"0.30"}
    assert (delivered["units"], delivered["currency"]) == (1, "RUB")


def test_an_sms_is_billed_by_segment_at_the_price_of_the_longest_prefix(sandbox, receiver):
    sandbox.sms(id="ru", mes="я" * 135)
    sandbox.sms(id="kz", phones=phone_for(Channel.SMS, 1, start="770112"), mes="я" * 71)
    receiver.hear(4)
    bills = {line["ref"]: line for line in sandbox.ledger() if line["event"] == "delivered"}
    assert (bills["ru"]["units"], bills["ru"]["amount"], bills["ru"]["currency"]) == (
        3,
        "7.05",
        "RUB",
    )
    assert (bills["kz"]["units"], bills["kz"]["amount"], bills["kz"]["currency"]) == (
        2,
        "0.090",
        "EUR",
    )


def test_every_line_says_who_when_and_under_which_references(sandbox, receiver):
    answer = sandbox.whatsapp().json()
    receiver.hear(2)
    accepted, delivered = sandbox.ledger()
    assert set(accepted) == set(delivered) == FIELDS
    assert delivered["ref"] == answer["messages"][0]["id"]
    assert delivered["client_ref"] == "b" * 32
    assert delivered["recipient"] == "+" + phone_for(Channel.WHATSAPP, 1)
    assert (delivered["account"], delivered["channel"]) == ("cloud-whatsapp", "whatsapp")
    took = dt.datetime.fromisoformat(delivered["accepted_at"])
    assert took.tzinfo is not None
    assert took.isoformat() == accepted["at"] < delivered["at"]


def test_a_viber_message_without_a_comment_carries_no_reference_of_ours(sandbox, receiver):
    address = phone_for(Channel.VIBER, 1)
    answer = sandbox.viber({"address": address}, {"address": address, "comment": "ours"}).json()
    receiver.hear(2)
    accepted = [line for line in sandbox.ledger() if line["event"] == "accepted"]
    assert [line["client_ref"] for line in accepted] == [None, "ours"]
    ids = [str(message["providerId"]) for message in answer["messages"]]
    assert [line["ref"] for line in accepted] == ids


def test_the_ledger_file_is_what_the_page_streams(sandbox, tmp_path):
    sandbox.notify(ttl="1")
    assert sandbox.http.get(f"{sandbox.url}/ledger").text == (tmp_path / "ledger.jsonl").read_text(
        "utf-8"
    )
    assert sandbox.events() == ["refused"]


@pytest.mark.parametrize(
    ("text", "segments"),
    [("a" * 160, 1), ("a" * 161, 2), ("€" * 80, 1), ("€" * 81, 2), ("я" * 70, 1), ("я" * 71, 2)],
)
def test_segments_are_counted_as_networks_count(text, segments):
    assert segments_of(text) == segments


def test_a_number_without_a_price_has_no_amount():
    rows = [{"prefix": "+7", "unit": "message", "price": "0.30", "currency": "RUB"}]
    assert bill_for("+375290000000", "", prices_of(rows)).amount is None
    assert bill_for("+79160000000", "", prices_of(rows)).amount == Decimal("0.30")


def test_an_unknown_unit_is_refused():
    with pytest.raises(ValueError, match="unit"):
        prices_of([{"prefix": "7", "unit": "letter", "price": "1", "currency": "RUB"}])
