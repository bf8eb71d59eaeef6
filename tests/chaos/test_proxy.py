"""The proxy breaks what it is told to break, and tells what it hit."""

from __future__ import annotations

import socket
import struct
import threading
import time

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2
import pytest

from sqlalchemy import make_url

from chaos.proxy import Hit, Links, ProxyError


PATIENCE = 5.0  # seconds
SHORT = 0.2  # long enough for a byte that would come


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[str, int]]:
    """A server that says what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening,), daemon=True)
        thread.start()
        yield listening.getsockname()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


def _serve(listening: socket.socket) -> None:
    with suppress(OSError):  # once it is shut down
        while True:
            threading.Thread(target=_echo, args=listening.accept()[:1], daemon=True).start()


def _echo(peer: socket.socket) -> None:
    with peer, suppress(OSError):
        while data := peer.recv(65536):
            peer.sendall(data)


@pytest.fixture(scope="module")
def running(
    echo: tuple[str, int], postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Links]:
    database = make_url(postgres_url)
    assert database.host
    assert database.port
    targets = {
        "echo": echo,
        "other": echo,
        "postgres": (database.host, database.port),
        "nobody": ("127.0.0.1", 1),
    }
    links = Links.start(tmp_path_factory.mktemp("proxy"), targets)
    yield links
    links.stop()


@pytest.fixture
def links(running: Links) -> Links:
    for name in running.ports:
        running.heal(name)
    return running


@pytest.fixture
def call(links: Links) -> Iterator[Callable[..., socket.socket]]:
    """Opens connections through a link, closed at the end."""
    opened: list[socket.socket] = []

    def connect(link: str = "echo") -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", links.ports[link]), PATIENCE))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


@contextmanager
def silence(peer: socket.socket) -> Iterator[None]:
    """Nothing comes from the peer, and it stays open."""
    yield
    peer.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        peer.recv(1)
    peer.settimeout(PATIENCE)


def answer(peer: socket.socket, words: bytes = b"hello") -> bytes:
    peer.sendall(words)
    heard = b""
    while len(heard) < len(words):
        more = peer.recv(65536)
        if not more:
            break
        heard += more
    return heard


def eventually(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.01)
    return True


def test_what_is_said_passes_both_ways_and_is_counted_as_open(links, call):
    one, two = call(), call()

    assert (answer(one), answer(two)) == (b"hello", b"hello")
    assert links.status("echo") == Hit(open=2, hit=0)


def test_a_long_answer_comes_whole_and_in_order(call):
    words = bytes(range(256)) * 20_000  # 5 MB, more than the sockets hold
    peer = call()
    heard: list[bytes] = []
    reading = threading.Thread(target=lambda: heard.append(_read(peer, len(words))))
    reading.start()
    peer.sendall(words)
    reading.join(PATIENCE)

    assert heard == [words]


def _read(peer: socket.socket, length: int) -> bytes:
    with peer.makefile("rb") as answers:
        return answers.read(length)


def test_an_end_passes_on(links, call):
    peer = call()
    answer(peer)
    peer.close()

    assert eventually(lambda: links.status("echo").open == 0)


def test_latency_delays_both_ways_and_keeps_the_order(links, call):
    peer = call()
    links.latency("echo", ms=60, jitter=30, seed=7)
    begun = time.monotonic()
    words = [b"%04d" % number for number in range(50)]
    for word in words:
        peer.sendall(word)

    assert _read(peer, 200) == b"".join(words)
    assert time.monotonic() - begun >= 0.06
    assert links.heal("echo").hit == 1


def test_what_was_late_comes_before_what_follows_the_end_of_the_latency(links, call):
    peer = call()
    links.latency("echo", ms=150)
    peer.sendall(b"first ")
    assert eventually(lambda: links.status("echo").hit == 1)
    links.heal("echo")

    peer.sendall(b"second")
    assert _read(peer, 12) == b"first second"


def test_a_blackhole_swallows_silently_and_resets_what_it_touched_once_it_is_over(links, call):
    open_before = call()
    answer(open_before)
    links.blackhole("echo")
    with silence(open_before):
        open_before.sendall(b"hello")
    opened_since = call()
    with silence(opened_since):
        opened_since.sendall(b"hello")

    assert links.heal("echo").hit == 2
    for touched in (open_before, opened_since):
        with pytest.raises(ConnectionResetError):
            touched.recv(1)
    assert answer(call()) == b"hello"


def test_a_blackhole_leaves_idle_connections_as_they_were(links, call):
    idle = call()
    answer(idle)
    links.blackhole("echo")

    assert links.heal("echo").hit == 0
    assert answer(idle) == b"hello"


def test_a_blackhole_keeps_an_end_from_the_other_side(links, call):
    peer = call()
    answer(peer)
    links.blackhole("echo")
    peer.close()
    assert eventually(lambda: links.status("echo").hit == 1)

    assert links.status("echo").open == 1
    assert links.heal("echo") == Hit(open=0, hit=1)


def test_a_blackhole_keeps_a_reset_from_the_other_side(links, call):
    peer, witness = call(), call("other")
    answer(peer)
    links.blackhole("echo")
    peer.sendall(b"hello")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    answer(witness)  # by then the proxy has heard of the reset

    assert eventually(lambda: links.status("echo") == Hit(open=1, hit=1))
    assert links.heal("echo") == Hit(open=0, hit=1)


def test_a_reset_breaks_what_is_open_and_what_comes_until_it_is_healed(links, call):
    open_before = call()
    answer(open_before)

    assert links.reset("echo") == Hit(open=0, hit=1)
    with pytest.raises(ConnectionResetError):
        open_before.recv(1)
    with pytest.raises(ConnectionError):
        call().recv(1)
    assert links.heal("echo").hit == 2
    assert answer(call()) == b"hello"


def test_a_fault_is_on_one_link_only(links, call):
    links.reset("echo")

    assert answer(call("other")) == b"hello"


def test_a_server_that_is_away_resets_its_clients(call):
    with pytest.raises(ConnectionResetError):
        call("nobody").recv(1)


def test_a_link_or_fault_that_is_not_known_is_told(links):
    with pytest.raises(ProxyError, match="elsewhere"):
        links.reset("elsewhere")
    with pytest.raises(ProxyError, match="sort"):
        links._order("echo", fault="latency", sort="odd")


@pytest.fixture
def table(bare_database_url: str, links: Links) -> Iterator[Callable[[], list[int]]]:
    """Its numbers, read past the proxy."""
    with closing(psycopg2.connect(_dsn(bare_database_url))) as direct:
        direct.autocommit = True
        with direct.cursor() as cursor:
            cursor.execute("CREATE TABLE number (n int)")

            def numbers() -> list[int]:
                cursor.execute("SELECT n FROM number ORDER BY n")
                return [n for (n,) in cursor.fetchall()]

            yield numbers


def _dsn(url: str, port: int | None = None) -> str:
    address = make_url(url).set(drivername="postgresql")
    return (address.set(port=port) if port else address).render_as_string(hide_password=False)


def test_a_cut_commit_is_done_and_its_client_never_hears_of_it(links, bare_database_url, table):
    through = _dsn(bare_database_url, links.ports["postgres"])
    links.cut_after_commit("postgres", times=1)
    cut = psycopg2.connect(through, connect_timeout=5)
    cut.cursor().execute("INSERT INTO number VALUES (1)")
    with pytest.raises(psycopg2.OperationalError):
        cut.commit()

    assert eventually(lambda: table() == [1])
    assert links.status("postgres").hit == 1
    with (
        closing(psycopg2.connect(through, connect_timeout=5)) as spared,
        spared,
        spared.cursor() as cursor,
    ):
        cursor.execute("INSERT INTO number VALUES (2)")
    assert table() == [1, 2]
    assert links.heal("postgres").hit == 1


def test_other_statements_are_not_cut(links, bare_database_url, table):
    links.cut_after_commit("postgres", times=1)
    with closing(psycopg2.connect(_dsn(bare_database_url, links.ports["postgres"]))) as one:
        one.cursor().execute("CREATE TEMPORARY TABLE brief (n int) ON COMMIT DROP")
        one.cursor().execute("INSERT INTO number VALUES (1)")
        one.rollback()

    assert table() == []
    assert links.heal("postgres").hit == 0


def test_a_proxy_that_cannot_listen_says_why(tmp_path: Path):
    with pytest.raises(ProxyError, match="does not start"):
        Links.start(tmp_path, {"a": ("127.0.0.1", 99_999_999), "a=b": ("x", 1)})
