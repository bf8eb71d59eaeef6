"""One call on the wire: it happens in a thread, and its deadline may give it up from outside.

The one question that matters when a call fails is whether a byte of the request can have left us.
So the connection asks its call before each write, and nothing is guessed from exceptions.
"""

from __future__ import annotations

import socket
import threading

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from tenacity import (
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    wait_random_exponential,
)
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
)

from cascade.channels.base import HttpRequest, HttpResponse, T
from cascade.channels.exchange import Ambiguous, NotSent, Outcome
from cascade.channels.faults import BodyTooLargeError, GivenUpError


_TRIES = 3
_FIRST_PAUSE = 0.05  # seconds, doubled after each try
_LONGEST_PAUSE = 0.5
_HOSTS = 16  # that one thread keeps a connection to

_NEVER_CONNECTED = (ConnectTimeoutError, NewConnectionError)  # also NameResolutionError


class Choose(Protocol):
    """Names the addresses that a connection may be made to; raises what it refuses."""

    def __call__(self, host: str, port: int, *, is_tls: bool) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """With whom connections may be made: `choose` names their addresses, instead of the system's
    look-up; `ca_file` the CAs that sign their certificates, instead of certifi's.
    """

    choose: Choose | None = None
    ca_file: str | None = None


ANYBODY = Trust()


class Call(Generic[T]):
    """One request on its way. `start_by` and `ends_at` are moments of the monotonic `clock`."""

    def __init__(
        self,
        request: HttpRequest[T],
        *,
        start_by: float,
        ends_at: float,
        clock: Callable[[], float],
        trust: Trust = ANYBODY,
    ) -> None:
        self.request = request
        self.ends_at = ends_at
        self.trust = trust
        self._start_by = min(start_by, ends_at)
        self._clock = clock
        self._lock = threading.Lock()
        self._given_up = threading.Event()
        self._begun = False
        self._socket: socket.socket | None = None

    def perform(self, adapter: HTTPAdapter, *, connect_timeout: float, body_limit: int) -> Outcome:
        """What became of the request; never raises. Only a connection that failed is retried."""
        _running.call = self
        retrying = Retrying(
            retry=retry_if_exception(self._may_try_again),
            stop=stop_after_attempt(_TRIES),
            wait=wait_random_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE),
            sleep=sleep_using_event(self._given_up),
            reraise=True,
        )
        try:
            return retrying(self._once, adapter, connect_timeout, body_limit)
        except Exception as error:  # noqa: BLE001  # texts of errors hold addresses: keep classes
            return self._lost(type(_innermost(error)).__name__)

    def give_up(self) -> NotSent | Ambiguous:
        """Ends the call from outside: nothing more is written, and its thread is set free."""
        self._given_up.set()
        with self._lock:
            if self._socket is not None:
                _cut(self._socket)
        return self._lost("deadline")

    def before_write(self, connection: socket.socket | None) -> None:
        """Raises GivenUpError if nothing may be written any more."""
        with self._lock:
            self._check_time()
            self._begun = True
            self._socket = connection

    def _once(self, adapter: HTTPAdapter, connect_timeout: float, body_limit: int) -> HttpResponse:
        self._check_time()
        left = max(self.ends_at - self._clock(), 0.001)
        timeout = (min(connect_timeout, left), left)
        response = adapter.send(
            _prepared(self.request),
            stream=True,
            timeout=timeout,
            verify=self.trust.ca_file or True,
        )
        try:
            return _whole(response, body_limit)
        finally:
            response.close()

    def _check_time(self) -> None:
        too_late = not self._begun and self._clock() >= self._start_by
        if too_late or self._given_up.is_set():
            raise GivenUpError

    def _may_try_again(self, error: BaseException) -> bool:
        return not self._begun and isinstance(_innermost(error), _NEVER_CONNECTED)

    def _lost(self, code: str) -> NotSent | Ambiguous:
        return Ambiguous(code) if self._begun else NotSent(code)


class AskingAdapter(HTTPAdapter):
    """Connections of one thread to a few hosts, one at a time; none reads the environment."""

    def __init__(self) -> None:
        super().__init__(pool_connections=_HOSTS, pool_maxsize=1)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class _Running(threading.local):
    call: Call[Any]


_running = _Running()


class _Connection(HTTPConnection):
    _is_tls = False

    def _new_conn(self) -> socket.socket:  # type: ignore[explicit-override]  # from Python 3.12
        """To a chosen address, if the call chooses: the name stays for Host, SNI and certificate."""
        choose = _running.call.trust.choose
        if choose is None:
            return super()._new_conn()
        name = self._dns_host
        failure: Exception = ConnectionError("no address was chosen")
        try:
            for address in choose(name, self.port, is_tls=self._is_tls):
                self._dns_host = address
                try:
                    return super()._new_conn()
                except _NEVER_CONNECTED as error:
                    failure = error
        finally:
            self._dns_host = name
        raise failure

    def send(self, data: Any) -> None:  # type: ignore[explicit-override]  # from Python 3.12
        if self.sock is None:
            self.connect()
        _running.call.before_write(self.sock)
        super().send(data)


class _TlsConnection(_Connection, HTTPSConnection):
    _is_tls = True


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # type: ignore[mutable-override]  # a class is named so


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection  # type: ignore[mutable-override]  # a class is named so


def _prepared(request: HttpRequest[T]) -> PreparedRequest:
    prepared = PreparedRequest()
    headers = {"User-Agent": "cascade", "Accept-Encoding": "identity", **request.headers}
    prepared.prepare(method=request.method, url=request.url, headers=headers, data=request.body)
    return prepared


def _whole(response: Response, limit: int) -> HttpResponse:
    # Not decoded: a compressed body was not asked for, and may be a bomb.
    body = b""
    # To the end, since only the read after the last byte tells that bytes are missing.
    while more := response.raw.read(limit + 1, decode_content=False):
        body += more
        if len(body) > limit:
            raise BodyTooLargeError
    return HttpResponse(status=response.status_code, headers=_lower(response.headers), body=body)


def _lower(headers: CaseInsensitiveDict[str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _innermost(error: BaseException) -> BaseException:
    """The fault itself: requests wraps urllib3's error, and urllib3 that of the socket."""
    match error:
        case RequestException(args=[BaseException() as inner, *_]):
            return _innermost(inner)
        case MaxRetryError(reason=BaseException() as inner):
            return _innermost(inner)
        case ProtocolError(args=[_, BaseException() as inner, *_]):
            return _innermost(inner)
        case _:
            return error


def _cut(connection: socket.socket) -> None:
    # The plain socket's own shutdown, since that of a TLS socket tears its state from the thread
    # that reads it. That thread sees the end of the stream and closes the connection itself.
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
