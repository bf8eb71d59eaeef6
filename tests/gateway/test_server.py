"""The gateway on real sockets, with clients that are slow, endless or hostile."""

from __future__ import annotations

import logging
import time

from collections.abc import Callable, Iterator
from itertools import repeat

import pytest
import requests

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from cascade.gateway.webhooks import BODY_LIMIT
from tests.channels.samples import TOKEN
from tests.gateway.serving import HurriedProtocol, Slow, serving
from tests.gateway.test_webhooks import notify
from tests.services.journey import Journey


pytestmark = pytest.mark.integration

PATH = f"/receipts/notify-vk/{TOKEN}"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: cascade\r\n".encode()
JSON = b"Content-Type: application/json\r\n"

Address = tuple[str, int]


@pytest.fixture
def address(app: Starlette) -> Iterator[Address]:
    with serving(app) as found:
        yield found


@pytest.fixture
def hurried(app: Starlette) -> Iterator[Address]:
    """A server whose patience is a third of a second."""
    with serving(app, HurriedProtocol) as found:
        yield found


@pytest.fixture
def client() -> Iterator[Callable[[Address], Slow]]:
    made: list[Slow] = []

    def connect(address: Address) -> Slow:
        made.append(Slow(address))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def url(address: Address, path: str = PATH) -> str:
    return f"http://{address[0]}:{address[1]}{path}"


def stored(journey: Journey) -> int:
    return len(journey.rows("SELECT FROM cascade.receipts"))


def test_a_real_server_takes_a_webhook_over_a_real_socket(journey: Journey, address: Address):
    with requests.Session() as session:
        answer = session.post(url(address), data=notify(), timeout=10)
        large = session.post(url(address), data=b"x" * (BODY_LIMIT + 1), timeout=10)
        chunked = session.post(
            url(address), data=repeat(b"x" * 1024, BODY_LIMIT // 1024 + 1), timeout=10
        )
        health = session.get(url(address, "/health"), timeout=10)

    assert (answer.status_code, answer.content) == (200, b"")
    assert stored(journey) == 1
    assert (large.status_code, chunked.status_code) == (413, 413)
    assert health.text == "ok\n"


def test_a_server_that_stops_answers_what_it_has_begun(journey: Journey, address: Address):
    with requests.Session() as session:
        answers = [
            session.post(url(address), data=notify(f"{number:032}"), timeout=10).status_code
            for number in range(20)
        ]

    assert answers == [200] * 20
    assert stored(journey) == 20


BROKEN_OFF = [
    b"",
    b"POST /receipts",
    HEAD,
    HEAD + JSON + b"Content-Length: 99\r\n\r\n",
    HEAD + JSON + b"Content-Length: 99\r\n\r\n{",
    HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    b"POST /nowhere HTTP/1.1\r\nHost: cascade\r\nContent-Length: 99\r\n\r\n{",
]


def test_a_request_that_does_not_come_to_its_end_is_cut_off(
    hurried: Address, client, caplog: pytest.LogCaptureFixture
):
    slow = [client(hurried) for _ in BROKEN_OFF]
    for one, words in zip(slow, BROKEN_OFF, strict=True):
        one.say(words)

    for one in slow:
        one.rest()
        assert 0.2 < one.age < 3
    assert "Exception" not in caplog.text  # it is no fault of ours


@pytest.mark.parametrize(
    "words", [HEAD + b"X-Slow: " + b"a" * 200, b"\r\n" * 200], ids=["head", "empty lines"]
)
def test_a_trickle_is_cut_off_however_busy_it_seems(hurried: Address, client, words: bytes):
    slow = client(hurried)
    with pytest.raises(OSError):  # noqa: PT011  # reset, or a broken pipe
        slow.trickle(words)
    assert slow.age < 3


def test_a_body_that_trickles_is_cut_off_also_after_an_earlier_request(
    journey: Journey, hurried: Address, client
):
    slow = client(hurried)
    body = notify()
    slow.say(HEAD + JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert slow.socket.recv(100).startswith(b"HTTP/1.1 200")
    slow.say(HEAD + JSON + b"Content-Length: 200\r\n\r\n")
    with pytest.raises(OSError):  # noqa: PT011  # as above
        slow.trickle(b" " * 200)
    assert slow.age < 3
    assert stored(journey) == 1


@pytest.mark.parametrize("one", [b"X-Endless: aaaaaaaa\r\n", b"a" * 20], ids=["many", "one"])
def test_a_head_without_an_end_is_not_kept(address: Address, client, one: bytes):
    flood = client(address)
    flood.say(HEAD + b"X-Endless: ")
    with pytest.raises(OSError):  # noqa: PT011  # as above
        flood.pour(repeat(one * 100, 10_000_000 // len(one * 100)))


def test_valid_receipts_pass_among_many_slow_clients(journey: Journey, address: Address, client):
    for _ in range(300):
        client(address).say(HEAD)
    times = []
    with requests.Session() as session:
        for number in range(30):
            started = time.monotonic()
            answer = session.post(url(address), data=notify(f"{number:032}"), timeout=10)
            times.append(time.monotonic() - started)
            assert answer.status_code == 200
    assert stored(journey) == 30
    assert max(times) < 0.5


def test_a_client_that_leaves_in_the_middle_is_no_fault(
    journey: Journey, address: Address, client, caplog: pytest.LogCaptureFixture
):
    leaving = client(address)
    leaving.say(HEAD + JSON + b"Content-Length: 99\r\n\r\n{")
    leaving.close()
    assert requests.post(url(address), data=notify(), timeout=10).status_code == 200
    assert caplog.records == []


def test_what_proxies_say_changes_no_address_and_a_trailer_is_no_header(client):
    seen: list[object] = []

    async def look(request: Request) -> PlainTextResponse:
        seen.append((request.client and request.client.host, await request.body()))
        seen.append(request.headers.getlist("x-forwarded-for"))
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/", look, methods=["POST"])])
    with serving(app) as address:
        one = client(address)
        one.say(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX-Forwarded-For: 192.0.2.2\r\n\r\n"
        )
        one.rest()
    assert seen == [("127.0.0.1", b"{"), ["192.0.2.1"]]


NO_HTTP = [
    b"\x00\x01\x02\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    b"POST / HTTP/9.9\r\n\r\n",
    b"POST http:// HTTP/1.1\r\nHost: a\r\n\r\n",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    HEAD + b"Na me: 1\r\n\r\n",
    HEAD + b"Connection: upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
]


def test_what_is_no_http_is_refused_and_never_a_fault(
    hurried: Address, client, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.ERROR)
    for words in NO_HTTP:
        strange = client(hurried)
        strange.say(words)
        assert not strange.rest().startswith((b"HTTP/1.1 2", b"HTTP/1.1 5"))
    assert caplog.records == []
