"""A provider of our own making: its adapter, and its desk on a real socket."""

from __future__ import annotations

import json
import threading

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cascade.channels.base import (
    Accepted,
    Ack,
    Capabilities,
    Correlation,
    HttpRequest,
    HttpResponse,
    Item,
    Pending,
    Receipt,
    Rejected,
    Result,
    T,
    Throttled,
    UnsayableError,
    Unsupported,
    Webhook,
)
from cascade.domain.message import Text
from cascade.domain.state import AttemptState, Channel
from tests.channels.wire import Connection, provider


def able(*, bulk: int = 1, poll: bool = False, ttl_minimum: int = 0) -> Capabilities:
    return Capabilities(
        ttl_minimum=ttl_minimum,
        ttl_maximum=86_400,
        read_receipts=True,
        late_delivery=False,
        correlation=Correlation.CLIENT_REF,
        bulk=bulk,
        poll=poll,
        text_maximum=1000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """An account whose wire format is a JSON list of items, and one of words as the answer."""

    url: str
    account: str = "notify-vk"
    channel: Channel = Channel.VK
    capabilities: Capabilities = field(default_factory=able)
    token_digests: frozenset[bytes] = frozenset()
    allowed_ips: frozenset[str] = frozenset()

    def requests_for(self, items: Sequence[Item]) -> list[HttpRequest[Item]]:
        bulk = self.capabilities.bulk
        return [self._request(items[at : at + bulk]) for at in range(0, len(items), bulk)]

    def _request(self, items: Sequence[Item]) -> HttpRequest[Item]:
        lines = [
            {"ref": item.client_ref, "phone": item.phone, "text": _text(item), "ttl": item.ttl}
            for item in items
        ]
        return _post(self.url, lines, tuple(items))

    def results_of(self, request: HttpRequest[Item], response: HttpResponse) -> Sequence[Result]:
        return [_result(word) for word in json.loads(response.body)]

    def verify(self, webhook: Webhook) -> None:
        pass

    def parse(self, webhook: Webhook) -> Sequence[Receipt]:
        return []

    def ack(self) -> Ack:
        return Ack()

    def handshake(self, query: Mapping[str, str]) -> str | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskableCourier(Courier):
    """A courier that can be asked; the answer is a status for each question, or null."""

    capabilities: Capabilities = field(default_factory=lambda: able(poll=True, bulk=10))

    def poll_requests_for(self, pending: Sequence[Pending]) -> list[HttpRequest[Pending]]:
        lines = [{"ref": one.client_ref, "phone": one.phone} for one in pending]
        return [_post(self.url, lines, tuple(pending))]

    def receipts_of(
        self, request: HttpRequest[Pending], response: HttpResponse
    ) -> Sequence[Receipt]:
        return [
            Receipt(status=AttemptState(word), native_status=word, client_ref=pending.client_ref)
            for pending, word in zip(request.items, json.loads(response.body), strict=True)
            if word is not None
        ]


def _text(item: Item) -> str:
    if not isinstance(item.body, Text):
        raise UnsayableError("text only")
    return item.body.text


def _post(url: str, lines: object, items: tuple[T, ...]) -> HttpRequest[T]:
    return HttpRequest(
        method="POST", url=url, headers={}, body=json.dumps(lines).encode(), items=items
    )


def _result(word: object) -> Result:
    match word:
        case "accepted":
            return Accepted()
        case "unsupported":
            return Unsupported("no-user")
        case "rejected":
            return Rejected("template")
        case "busy":
            return Throttled("busy", 5.0)
        case str():
            return Accepted((word,))  # the reference it gives
        case _:
            raise TypeError("no word")


Line = Mapping[str, Any]
Words = Callable[[Line], object]


class Desk:
    """What the provider was asked, and what it says of each line; it may do so in its own time."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[list[Line]] = []
        self.says: Words = lambda _line: "accepted"
        self.closing = threading.Event()

    @property
    def lines(self) -> list[Line]:
        return [line for call in self.calls for line in call]

    def serve(self, connection: Connection) -> None:
        self.closing = connection.closing
        while request := connection.read_request():
            call = json.loads(request.partition(b"\r\n\r\n")[2])
            self.calls.append(call)
            body = json.dumps([self.says(line) for line in call]).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sock.sendall(head.encode() + body)


@contextmanager
def a_desk() -> Iterator[Desk]:
    desk = Desk()
    with provider(desk.serve) as found:
        desk.url = found.url
        yield desk
