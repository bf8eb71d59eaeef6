"""The invoice has a line for each delivered message, as the provider's own record has it."""

from __future__ import annotations

import csv
import io

from cascade.sandbox.outcomes import Channel
from tests.sandbox.running import phone_for


def invoice(sandbox, **query):
    answer = sandbox.http.get(f"{sandbox.url}/invoice", params=query)
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_an_invoice_has_what_was_delivered_and_nothing_else(sandbox):
    sandbox.notify(message_id="read", phone=phone_for(Channel.VK, 3))
    sandbox.notify(message_id="never", phone=phone_for(Channel.VK, 6))
    sandbox.notify(message_id="refused", ttl="1")
    sandbox.settle()
    (delivered,) = sandbox.of("delivered")
    assert invoice(sandbox) == [
        {
            "account": "notify-vk",
            "ref": "read",
            "client_ref": "read",
            "recipient": "+" + phone_for(Channel.VK, 3),
            "accepted_at": delivered["accepted_at"],
            "delivered_at": delivered["at"],
            "amount": "0.30",
            "currency": "RUB",
        }
    ]


def test_our_reference_stands_only_where_it_is_the_providers_own(sandbox):
    sandbox.sms(id="ours")
    sandbox.whatsapp(biz_opaque_callback_data="ours")
    sandbox.viber({"address": phone_for(Channel.VIBER, 1), "comment": "ours"})
    sandbox.settle()
    shown = {line["account"]: line["client_ref"] for line in invoice(sandbox)}
    assert shown == {"smsc": "ours", "cloud-whatsapp": "", "devino-viber": ""}


def test_an_invoice_may_be_of_one_account(sandbox):
    sandbox.sms()
    sandbox.whatsapp()
    sandbox.settle()
    assert [line["account"] for line in invoice(sandbox, account="smsc")] == ["smsc"]
    assert invoice(sandbox, account="notify-ok") == []
    assert sandbox.http.get(f"{sandbox.url}/invoice?account=fax").status_code == 404
