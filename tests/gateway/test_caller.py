from __future__ import annotations

import pytest

from cascade.channels.notify import Notify
from cascade.gateway.app import make_app
from cascade.gateway.caller import caller_address
from cascade.services.deployment import Ledger
from tests.channels.samples import TOKEN, a_notify
from tests.gateway.asgi import talk
from tests.gateway.test_webhooks import notify


PROVIDER, PROXY, STRANGER = "185.5.136.1", "10.0.0.1", "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "forwarded", "hops", "caller"),
    [
        (PROVIDER, [], 0, PROVIDER),
        (STRANGER, [PROVIDER], 0, STRANGER),  # without a proxy the header is the caller's own word
        (PROXY, [PROVIDER], 1, PROVIDER),
        (PROXY, [f"{PROVIDER}, {STRANGER}"], 1, STRANGER),
        (PROXY, [f"{STRANGER},{PROVIDER}"], 1, PROVIDER),
        (PROXY, [PROVIDER, STRANGER], 1, STRANGER),
        (PROXY, [f"{PROVIDER}, {PROXY}"], 2, PROVIDER),
        (PROXY, [f"{STRANGER}, {PROVIDER}", PROXY], 2, PROVIDER),
        (PROXY, [PROVIDER], 2, None),
        (PROXY, [], 1, None),
        (PROXY, [""], 1, None),
        (PROXY, ["unknown"], 1, None),
        (PROXY, [f"{PROVIDER}:443"], 1, None),
        (f"::ffff:{PROVIDER}", [], 0, PROVIDER),
        (PROXY, ["2001:DB8::0:1"], 1, "2001:db8::1"),
        (None, [], 0, None),
        ("testclient", [], 0, None),
    ],
)
def test_only_what_our_own_proxies_added_is_believed(
    peer: str | None, forwarded: list[str], hops: int, caller: str | None
):
    assert caller_address(peer, forwarded, hops) == caller


@pytest.mark.integration
@pytest.mark.parametrize(
    ("hops", "peer", "forwarded", "status"),
    [
        (0, PROVIDER, [], 200),
        (0, f"::ffff:{PROVIDER}", [], 200),
        (0, STRANGER, [], 404),
        (0, STRANGER, [PROVIDER], 404),
        (0, None, [], 404),
        (1, PROXY, [PROVIDER], 200),
        (1, PROXY, [f"{PROVIDER}, {STRANGER}"], 404),
        (1, PROVIDER, [], 404),
        (2, PROXY, [f"{PROVIDER}, {PROXY}"], 200),
        (2, PROXY, [PROVIDER], 404),
    ],
)
def test_webhooks_come_from_allowed_addresses_only(
    ledger: Ledger, hops: int, peer: str | None, forwarded: list[str], status: int
):
    fields = a_notify().model_dump() | {
        "allowed_ips": PROVIDER,
        "webhook_token": TOKEN,
        "client_secret": "canary-secret",
    }
    del fields["tokens"]
    adapter = Notify.model_validate(fields)
    app = make_app(
        adapters={adapter.account: adapter},
        keyring=ledger.keyring,
        engine=ledger.engine,
        trusted_hops=hops,
    )
    headers = [("X-Forwarded-For", value) for value in forwarded]
    path = f"/receipts/notify-vk/{TOKEN}"

    answer = talk(app, lambda client: client.post(path, notify(), headers=headers, peer=peer))

    assert answer.status == status
