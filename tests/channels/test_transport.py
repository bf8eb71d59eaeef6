"""The contract of a transport: any implementation is held to it through `transports`."""

from __future__ import annotations

import gzip
import logging
import resource
import socket
import threading
import time

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade.channels.base import HttpRequest, HttpResponse, Rejected, Unknown
from cascade.channels.event_loop import EventLoopTransport
from cascade.channels.exchange import Ambiguous, Exchange, NotSent, results
from cascade.channels.threaded import ThreadedTransport
from cascade.channels.transport import Transport
from tests.channels.wire import OK, Connection, Provider, provider, refused_url


DEADLINE = 0.6
BODY_LIMIT = 1000

Transports = Callable[..., Transport[Any]]


@pytest.fixture(params=[ThreadedTransport, EventLoopTransport])
def transports(request: pytest.FixtureRequest) -> Iterator[Transports]:
    made: list[Transport[Any]] = []

    def make(**settings: Any) -> Transport[Any]:
        defaults = {"flight": 4, "deadline": DEADLINE, "body_limit": BODY_LIMIT}
        made.append(request.param(**{**defaults, **settings}))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


def a_request(url: str, body: bytes = b"words") -> HttpRequest[str]:
    return HttpRequest(method="POST", url=url, headers={"X-Own": "1"}, body=body, items=("a",))


def outcome_of(transport: Transport[Any], url: str) -> object:
    transport.submit(a_request(url))
    (exchange,) = transport.collect(10)
    return exchange.outcome


def answers(data: bytes) -> Callable[[Connection], None]:
    def behaviour(connection: Connection) -> None:
        while connection.read_request():
            connection.sock.sendall(data)

    return behaviour


def answers_once(data: bytes) -> Callable[[Connection], None]:
    def behaviour(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(data)

    return behaviour


def test_an_answer_comes_back_whole(transports):
    head = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nwait"
    with provider(answers(head)) as there:
        assert outcome_of(transports(), there.url) == HttpResponse(
            status=429, headers={"retry-after": "7", "content-length": "4"}, body=b"wait"
        )


def test_the_request_goes_out_as_described_and_asks_for_no_compression(transports):
    seen: list[bytes] = []

    def behaviour(connection: Connection) -> None:
        seen.append(connection.read_request())
        connection.sock.sendall(OK)

    with provider(behaviour) as there:
        outcome_of(transports(), there.url)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /send HTTP/1.1")
    assert b"X-Own: 1" in head
    assert b"Accept-Encoding: identity" in head
    assert body == b"words"


def test_a_refused_connection_is_provably_not_sent(transports):
    assert isinstance(outcome_of(transports(), refused_url()), NotSent)


def test_a_refused_connection_is_tried_again_within_the_deadline(transports):
    transport = transports(deadline=5)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
    transport.submit(a_request(f"http://{address[0]}:{address[1]}/send"))
    with socket.create_server(address) as listener:
        listener.settimeout(5)
        # Either the first try already meets the listener or a later one does.
        sock, _ = listener.accept()
        with sock:
            Connection(sock, threading.Event()).read_request()
            sock.sendall(OK)
            (exchange,) = transport.collect(5)
    assert isinstance(exchange.outcome, HttpResponse)


def test_a_host_that_does_not_answer_is_provably_not_sent(transports):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]  # the queue holds one, then it is full
        for sock in waiting:
            sock.settimeout(0)
            sock.connect_ex(address)
        transport = transports(connect_timeout=0.1)
        outcome = outcome_of(transport, f"http://{address[0]}:{address[1]}/send")
        for sock in waiting:
            sock.close()
    assert isinstance(outcome, NotSent)


def test_a_host_that_speaks_no_tls_is_provably_not_sent(transports):
    def behaviour(connection: Connection) -> None:
        connection.sock.recv(65536)
        connection.sock.sendall(b"220 smtp.example ESMTP\r\n")
        connection.hang()

    with provider(behaviour) as there:
        outcome = outcome_of(transports(), there.url.replace("http:", "https:"))
    assert isinstance(outcome, NotSent)


def test_a_tls_handshake_without_an_end_is_provably_not_sent(transports):
    with provider(Connection.hang) as there:
        outcome = outcome_of(transports(), there.url.replace("http:", "https:"))
    assert isinstance(outcome, NotSent)


def test_an_address_that_is_none_is_provably_not_sent(transports):
    assert isinstance(outcome_of(transports(), "http://"), NotSent)


def test_a_connection_closed_after_the_request_is_ambiguous(transports):
    with provider(answers_once(b"")) as there:
        assert isinstance(outcome_of(transports(), there.url), Ambiguous)


def test_a_connection_reset_after_the_request_is_ambiguous(transports):
    def behaviour(connection: Connection) -> None:
        connection.read_request()
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    with provider(behaviour) as there:
        assert isinstance(outcome_of(transports(), there.url), Ambiguous)


def test_silence_is_ambiguous_once_the_deadline_is_over(transports):
    with provider(Connection.hang) as there:
        started = time.monotonic()
        assert isinstance(outcome_of(transports(), there.url), Ambiguous)
        assert DEADLINE <= time.monotonic() - started < DEADLINE + 1


@pytest.mark.parametrize(
    "slow",
    [
        b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 500 + b"\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"a" * 500,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 500,
    ],
    ids=["headers", "body", "body without a length"],
)
def test_a_trickle_ends_at_the_deadline_and_sets_its_thread_free(transports, slow):
    def behaviour(connection: Connection) -> None:
        connection.read_request()
        at = 20 if b"X-Slow" in slow else slow.index(b"\r\n\r\n") + 4
        connection.sock.sendall(slow[:at])
        connection.trickle(slow[at:])

    transport = transports(flight=1)
    with provider(behaviour) as there:
        started = time.monotonic()
        assert isinstance(outcome_of(transport, there.url), Ambiguous)
        assert time.monotonic() - started < DEADLINE + 1
        transport.collect(2)  # returns as soon as nothing is under way
        assert transport.room == 1
        assert time.monotonic() - started < DEADLINE + 1


def test_a_body_over_the_limit_is_ambiguous(transports):
    body = b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * (BODY_LIMIT + 1)
    with provider(answers_once(body)) as there:
        assert isinstance(outcome_of(transports(), there.url), Ambiguous)


def test_a_body_at_the_limit_is_read(transports):
    body = b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * BODY_LIMIT
    with provider(answers_once(body)) as there:
        outcome = outcome_of(transports(), there.url)
    assert isinstance(outcome, HttpResponse)
    assert len(outcome.body) == BODY_LIMIT


ENDLESS = {
    "body": (b"\r\n", b"a"),
    "body with a length": (b"Content-Length: 1073741824\r\n\r\n", b"a"),
    "chunk": (b"Transfer-Encoding: chunked\r\n\r\n40000000\r\n", b"a"),
    "length of a chunk": (b"Transfer-Encoding: chunked\r\n\r\n", b"1"),
    "chunks": (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "trailer": (b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-More: 1\r\n"),
    "header": (b"X-Endless: ", b"a"),
    "headers": (b"", b"X-Endless: 1\r\n"),
    "compressed": (b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"a" * 1_000_000)),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_gibibyte_of_an_answer_is_ambiguous_and_takes_no_memory(transports, kind):
    head, more = ENDLESS[kind]
    block = more * (65536 // len(more) + 1)

    def behaviour(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n" + head)
        for _ in range(2**30 // len(block)):
            connection.sock.sendall(block)

    with provider(behaviour) as there:
        before = resident()
        outcome = outcome_of(transports(body_limit=64 * 1024), there.url)
        grown = resident() - before
    assert isinstance(outcome, Ambiguous)
    assert grown < 20 * 2**20


def resident() -> int:
    """Bytes of memory that this process holds."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_no_success(adapter, item, status):
    (request,) = adapter.requests_for([item])
    outcome = HttpResponse(status=status, headers={"location": request.url}, body=b"{}")
    [(_, result)] = results(adapter, Exchange(request=request, outcome=outcome))
    assert isinstance(result, Rejected | Unknown)


def test_the_environment_names_no_proxy_and_no_password(transports, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, refused_url())
    with provider(answers(OK)) as there:
        assert isinstance(outcome_of(transports(), there.url), HttpResponse)
        assert there.connections == 1


def test_a_body_cut_short_is_ambiguous(transports):
    with provider(answers_once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")) as there:
        assert isinstance(outcome_of(transports(), there.url), Ambiguous)


def test_what_is_no_http_is_ambiguous(transports):
    with provider(answers_once(b"220 smtp.example ESMTP\r\n\r\n")) as there:
        assert isinstance(outcome_of(transports(), there.url), Ambiguous)


def test_a_compressed_body_is_left_as_it_is(transports):
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbomb"
    with provider(answers(head)) as there:
        outcome = outcome_of(transports(), there.url)
    assert isinstance(outcome, HttpResponse)
    assert outcome.body == b"bomb"


def test_a_redirect_is_an_answer_and_is_not_followed(transports):
    with provider(answers(OK)) as elsewhere:
        head = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n"
        with provider(answers(head.encode())) as there:
            outcome = outcome_of(transports(), there.url)
        assert isinstance(outcome, HttpResponse)
        assert outcome.status == 307
        assert elsewhere.connections == 0


def test_calls_share_a_kept_alive_connection_and_no_cookies(transports):
    seen: list[bytes] = []

    def behaviour(connection: Connection) -> None:
        while request := connection.read_request():
            seen.append(request)
            connection.sock.sendall(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"))

    transport = transports(flight=1)
    with provider(behaviour) as there:
        outcomes = [outcome_of(transport, there.url) for _ in range(3)]
        transport.close()
        assert there.connections == 1
    assert all(isinstance(outcome, HttpResponse) for outcome in outcomes)
    assert not any(b"Cookie:" in request for request in seen)


def test_a_kept_alive_connection_closed_between_calls_is_opened_anew(transports):
    closed = threading.Event()

    def behaviour(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(OK)
        connection.sock.close()
        closed.set()

    transport = transports(flight=1)
    with provider(behaviour) as there:
        assert isinstance(outcome_of(transport, there.url), HttpResponse)
        closed.wait(5)
        assert isinstance(outcome_of(transport, there.url), HttpResponse)
        assert there.connections == 2


def test_a_kept_alive_connection_closed_under_the_next_request_is_ambiguous(transports):
    def behaviour(connection: Connection) -> None:
        connection.read_request()
        connection.sock.sendall(OK)
        connection.read_request()

    transport = transports(flight=1)
    with provider(behaviour) as there:
        assert isinstance(outcome_of(transport, there.url), HttpResponse)
        assert isinstance(outcome_of(transport, there.url), Ambiguous)
        assert there.connections == 1


def test_a_call_that_could_not_start_in_time_is_not_made(transports):
    with provider(answers(OK)) as there:
        transport = transports()
        transport.submit(a_request(there.url), start_by=time.monotonic())
        (exchange,) = transport.collect(5)
        assert exchange.outcome == NotSent("GivenUpError")
        assert there.connections == 0


def test_a_process_that_stalled_after_submit_does_not_make_the_call(transports):
    moments = iter([0.0])  # read once at submit; the thread wakes a minute later

    with provider(answers(OK)) as there:
        transport = transports(clock=lambda: next(moments, 60.0))
        transport.submit(a_request(there.url))
        (exchange,) = transport.collect(5)
        assert isinstance(exchange.outcome, NotSent)
        assert there.connections == 0


def test_a_flight_ends_one_by_one_and_a_silent_call_holds_up_nobody(transports):
    transport = transports(flight=2, deadline=3)
    with provider(answers(OK)) as quick, provider(Connection.hang) as silent:
        transport.submit(a_request(silent.url))
        transport.submit(a_request(quick.url))
        assert (transport.in_flight, transport.room) == (2, 0)
        (first,) = transport.collect(2)
        assert isinstance(first.outcome, HttpResponse)
        assert first.request.url == quick.url
        assert (transport.in_flight, transport.room) == (1, 1)
        transport.close()


def test_more_calls_than_there_is_room_for_are_refused(transports):
    transport = transports(flight=1)
    with provider(Connection.hang) as there:
        transport.submit(a_request(there.url))
        with pytest.raises(RuntimeError):
            transport.submit(a_request(there.url))
        transport.close()


def test_collect_returns_at_once_when_nothing_is_under_way(transports):
    started = time.monotonic()
    assert transports().collect(30) == []
    assert time.monotonic() - started < 1


def test_collect_waits_no_longer_than_asked(transports):
    transport = transports(deadline=30)
    with provider(Connection.hang) as there:
        transport.submit(a_request(there.url))
        started = time.monotonic()
        assert transport.collect(0.05) == []
        assert time.monotonic() - started < 1
        transport.close()


def test_close_ends_calls_that_hang(transports):
    transport = transports(deadline=30)
    with provider(Connection.hang) as there:
        transport.submit(a_request(there.url))
        _until_connected(there)
        started = time.monotonic()
        transport.close()
        assert time.monotonic() - started < 2
        assert transport.collect(0) == []


def test_a_flight_larger_than_one_goes_out_together(transports):
    together = threading.Barrier(3)

    def behaviour(connection: Connection) -> None:
        connection.read_request()
        together.wait(5)
        connection.sock.sendall(OK)

    transport = transports(flight=3, deadline=5)
    with provider(behaviour) as there:
        for _ in range(3):
            transport.submit(a_request(there.url))
        exchanges: list[Exchange[str]] = []
        while transport.in_flight:
            exchanges += transport.collect(5)
    assert [type(exchange.outcome) for exchange in exchanges] == [HttpResponse] * 3


def test_no_log_line_holds_a_body_or_a_header(transports, caplog):
    caplog.set_level(logging.DEBUG)
    with provider(answers(OK)) as there:
        transport = transports()
        request: HttpRequest[str] = HttpRequest(
            method="POST", url=there.url, headers={"Authorization": "canary"}, body=b"canary"
        )
        transport.submit(request)
        transport.collect(5)
    assert "canary" not in caplog.text
    assert "canary" not in repr(request)


def _until_connected(there: Provider) -> None:
    until = time.monotonic() + 5
    while not there.connections and time.monotonic() < until:
        pass
