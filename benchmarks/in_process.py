"""Providers inside the process: each takes 100 messages a call and answers at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from typing_extensions import override

from cascade.channels.base import (
    Accepted,
    Ack,
    Capabilities,
    Correlation,
    HttpRequest,
    HttpResponse,
    Item,
    Receipt,
    Result,
    Unsupported,
    Webhook,
)
from cascade.channels.exchange import Exchange
from cascade.channels.transport import Transport
from cascade.domain.state import AttemptState, Channel
from cascade.services.deployment import CALL_DEADLINE
from cascade.services.inbox import new_receipts
from cascade.storage.inbox import NewReceipt
from cascade.storage.sealing import Keyring


_BULK = 100
_FIRST = Channel.VK
_NOT_A_USER = "0123"


class InProcess:
    """One account that knows whom it reaches without asking anybody."""

    capabilities = Capabilities(
        ttl_minimum=15,
        ttl_maximum=86_400,
        read_receipts=False,
        late_delivery=False,
        correlation=Correlation.CLIENT_REF,
        bulk=_BULK,
        text_maximum=1000,
    )
    token_digests: frozenset[bytes] = frozenset()
    allowed_ips: frozenset[str] = frozenset()

    def __init__(self, account: str, channel: Channel) -> None:
        self.account = account
        self.channel = channel

    def requests_for(self, items: Sequence[Item]) -> list[HttpRequest[Item]]:
        return [
            HttpRequest(
                method="POST", url=self.account, headers={}, items=tuple(items[at : at + _BULK])
            )
            for at in range(0, len(items), _BULK)
        ]

    def results_of(self, request: HttpRequest[Item], response: HttpResponse) -> list[Result]:  # noqa: ARG002  # the contract
        return [
            Accepted() if self.takes(item) else Unsupported("not a user") for item in request.items
        ]

    def takes(self, item: Item) -> bool:
        """Whether the recipient is a user."""
        return self.channel is not _FIRST or item.phone[-1] not in _NOT_A_USER

    def verify(self, webhook: Webhook) -> None: ...

    def parse(self, webhook: Webhook) -> list[Receipt]:
        raise NotImplementedError("nothing comes over the wire here")

    def ack(self) -> Ack:
        return Ack()

    def handshake(self, query: Mapping[str, str]) -> str | None: ...


class InProcessTransport(Transport[Item]):
    """Calls that never leave the process; `tell` hears of each item that a provider took."""

    def __init__(
        self, adapters: Mapping[str, InProcess], tell: Callable[[InProcess, Item], object]
    ) -> None:
        self.flight = 16
        self.deadline = CALL_DEADLINE
        self._providers = adapters
        self._tell = tell
        self._answered: list[Exchange[Item]] = []

    @property
    @override
    def in_flight(self) -> int:
        return len(self._answered)

    @property
    @override
    def room(self) -> int:
        return self.flight - len(self._answered)

    @override
    def submit(self, request: HttpRequest[Item], *, start_by: float | None = None) -> None:
        answer = HttpResponse(status=200, headers={}, body=b"")
        self._answered.append(Exchange(request=request, outcome=answer))

    @override
    def collect(self, wait: float) -> list[Exchange[Item]]:
        answered, self._answered = self._answered, []
        for exchange in answered:
            adapter = self._providers[exchange.request.url]
            for item in exchange.request.items:
                if adapter.takes(item):
                    self._tell(adapter, item)
        return answered

    @override
    def close(self) -> None:
        """Nothing to close."""


def receipts_for(keyring: Keyring, adapter: InProcess, item: Item) -> list[NewReceipt]:
    """What a webhook that says that the item was delivered puts into the inbox."""
    body = b'{"message_id": "%b", "status": "delivered"}' % item.client_ref.encode()
    told = Receipt(
        status=AttemptState.DELIVERED, native_status="delivered", client_ref=item.client_ref
    )
    return new_receipts(keyring, adapter.account, [told], body)


def accounts() -> dict[str, InProcess]:
    """VK, which does not reach everybody, and OK, which does."""
    names = {"notify-vk": Channel.VK, "notify-ok": Channel.OK}
    return {name: InProcess(name, channel) for name, channel in names.items()}
