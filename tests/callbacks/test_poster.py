from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
import uuid

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network

import pytest
import trustme

from cascade.callbacks.endpoints import Endpoint, Endpoints
from cascade.callbacks.guard import Guard
from cascade.callbacks.poster import BODY_LIMIT, Posted, Poster
from cascade.domain.callback import Webhook
from cascade.domain.state import MessageState
from tests.callbacks.receiver import Answer, Receiver, a_receiver
from tests.channels.wire import Behaviour, provider


LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
DEADLINE = 2.0  # seconds

WEBHOOK = Webhook(
    event_id=1,
    message_id=uuid.UUID(int=7),
    sequence=1,
    state=MessageState.DELIVERED,
    tries=1,
    endpoint="shop",
    happened_at=dt.datetime(2026, 11, 22, tzinfo=dt.UTC),
    success_met=True,
    channel=None,
    content=b"",
    posted_at=dt.datetime(2026, 11, 22, tzinfo=dt.UTC),
)


@pytest.fixture
def shop() -> Iterator[Receiver]:
    with a_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def posted(
    url: str, guard: Guard, *, ca_file: str | None = None, deadline: float = DEADLINE
) -> Posted:
    """What became of one webhook to `url`."""
    shop = Endpoint(name="shop", url=url, keys=(b"k" * 24,), connections=1)
    endpoints = Endpoints(by_name={"shop": shop}, guard=guard, ca_file=ca_file)
    poster = Poster(endpoints, deadline=deadline)
    try:
        poster.post(WEBHOOK, b'{"a":1}')
        [one] = poster.collect(10)
        return one
    finally:
        poster.close()


def own(port: int, *addresses: str) -> Guard:
    """Lets loopback through; names resolve to `addresses`."""
    resolver = {"resolve": lambda _host, _port: addresses} if addresses else {}
    return Guard(ports=frozenset({port}), private_networks=LOOPBACK, **resolver)


def misbehaved(behaviour: Behaviour) -> tuple[Posted, float]:
    """What became of a webhook to such an endpoint, and how long it took."""
    with provider(behaviour) as bad:
        begun = time.monotonic()
        port = int(bad.url.split(":")[2].split("/")[0])
        return posted(bad.url, own(port), deadline=0.5), time.monotonic() - begun


def test_a_webhook_is_a_post_of_its_body_with_the_signature(shop: Receiver):
    assert posted(shop.url(), own(shop.port)).error is None

    [heard] = shop.heard
    assert heard.body == b'{"a":1}'
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["webhook-id"] == WEBHOOK.id
    assert heard.headers["webhook-timestamp"] == str(int(WEBHOOK.posted_at.timestamp()))
    assert heard.headers["webhook-signature"].startswith("v1,")


@pytest.mark.parametrize(("status", "error"), [(204, None), (299, None), (400, "http_400")])
def test_a_status_of_200_to_299_is_a_webhook_taken(shop: Receiver, status: int, error: str | None):
    shop.answer = lambda _: Answer(status)

    assert posted(shop.url(), own(shop.port)).error == error


def test_an_endpoint_may_say_that_it_is_gone_or_wants_a_pause(shop: Receiver):
    shop.answer = lambda _: Answer(410)
    assert posted(shop.url(), own(shop.port)).is_gone

    shop.answer = lambda _: Answer(503, {"Retry-After": "120"})
    busy = posted(shop.url(), own(shop.port))
    assert (busy.error, busy.is_gone, busy.retry_after) == ("http_503", False, 120)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(shop: Receiver, status: int):
    with a_receiver() as inside:
        shop.answer = lambda _: Answer(status, {"Location": inside.url()})

        assert posted(shop.url(), own(shop.port)).error == f"http_{status}"
        assert inside.heard == []


def test_no_proxy_of_the_environment_is_asked(shop: Receiver, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert posted(shop.url(), own(shop.port)).error is None


def test_a_private_address_is_never_connected_to(shop: Receiver):
    guard = Guard(ports=frozenset({shop.port}))

    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1"):
        assert posted(shop.url(host), guard).error == "RefusedAddressError"
    assert shop.heard == []


class Rebinding:
    """A name server that says something else each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = iter(answers)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        return next(self._answers)


def test_a_name_that_changes_its_address_between_two_looks_gains_nothing(shop: Receiver):
    # ::1, where nobody listens, stands for a public address; the shop at 127.0.0.1 is inside.
    guard = Guard(
        ports=frozenset({shop.port}),
        private_networks=(ip_network("::1/128"),),
        resolve=Rebinding(["::1"], ["127.0.0.1"]),
    )

    assert posted(shop.url("rebinding.example"), guard).error == "RefusedAddressError"
    assert shop.heard == []


def test_the_connection_is_made_to_the_checked_address_and_not_by_the_name(shop: Receiver):
    guard = own(shop.port, "::1")  # nobody listens there; by its name the shop would hear it

    assert posted(shop.url("localhost"), guard).error == "NewConnectionError"
    assert shop.heard == []


def test_addresses_of_a_name_are_tried_in_turn(shop: Receiver):
    guard = own(shop.port, "::1", "127.0.0.1")  # nobody listens at the first

    assert posted(shop.url("shop.example"), guard).error is None
    assert shop.heard[0].headers["host"] == f"shop.example:{shop.port}"


def test_by_tls_the_checked_address_is_connected_to_and_the_name_is_verified(
    authority: trustme.CA, ca_file: str
):
    server_names: list[str] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.example").configure_cert(tls)
    tls.sni_callback = lambda _socket, name, _context: server_names.append(name)
    with a_receiver(tls) as shop:
        guard = own(shop.port, "127.0.0.1")
        assert posted(shop.url("shop.example"), guard, ca_file=ca_file).error is None
        assert server_names == ["shop.example"]
        assert shop.heard[0].headers["host"] == f"shop.example:{shop.port}"

        other_name = posted(shop.url("other.example"), guard, ca_file=ca_file)
        unknown_authority = posted(shop.url("shop.example"), guard)

    assert "SSL" in str(other_name.error)
    assert "SSL" in str(unknown_authority.error)
    assert len(shop.heard) == 1


def test_an_endpoint_that_never_answers_costs_its_deadline():
    found, took = misbehaved(lambda connection: connection.hang())

    # Whoever notices first: the one who waits, or the connection.
    assert found.error in {"deadline", "ReadTimeoutError"}
    assert took < 2


def test_an_answer_that_trickles_costs_its_deadline():
    def trickle(connection):
        connection.read_request()
        connection.trickle(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
        )

    found, took = misbehaved(trickle)

    assert found.error == "deadline"
    assert took < 2


def test_an_answer_that_is_too_long_is_not_read_to_its_end():
    def flood(connection):
        connection.read_request()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            connection.sock.sendall(b"x" * BODY_LIMIT)

    assert misbehaved(flood)[0].error == "BodyTooLargeError"


def test_an_endpoint_has_room_for_its_connections_and_gets_it_back(shop: Receiver):
    one = Endpoint(name="shop", url=shop.url(), keys=(b"k" * 24,), connections=3)
    other = replace(one, name="crm", connections=1)
    endpoints = Endpoints(by_name={"shop": one, "crm": other}, guard=own(shop.port), ca_file=None)
    poster = Poster(endpoints, deadline=DEADLINE)
    try:
        assert poster.rooms == {"shop": 3, "crm": 1}
        poster.post(WEBHOOK, b"{}")
        assert poster.rooms == {"shop": 2, "crm": 1}
        assert len(poster.collect(10)) == 1
        assert poster.rooms == {"shop": 3, "crm": 1}
    finally:
        poster.close()


def test_a_name_that_cannot_be_resolved_is_a_failed_try():
    def unknown(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror

    found = posted("https://shop.example/", Guard(resolve=unknown))

    assert found.error is not None


def test_the_keys_stand_in_no_log_line(shop: Receiver, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    posted(f"{shop.url()}?token=hidden", own(shop.port))

    assert "kkkk" not in caplog.text
