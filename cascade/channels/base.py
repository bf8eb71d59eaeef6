"""The adapter contract: a provider describes requests and reads answers; it does no I/O.

Native codes die here: an adapter turns them into the results and states below by a table at the
top of its file. Unknown codes are kept raw and never raise.
"""

from __future__ import annotations

import datetime as dt

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar, runtime_checkable

from cascade.domain.message import Body
from cascade.domain.money import PriceUnit
from cascade.domain.state import AttemptState, Channel


T = TypeVar("T")


class Correlation(StrEnum):
    """How a provider's receipt finds our attempt."""

    CLIENT_REF = "client_ref"  # our reference is echoed
    PROVIDER_REF = "provider_ref"  # only the provider's own id: a lost answer is unattributable


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do, as data: times in seconds, lengths in characters."""

    ttl_minimum: int  # shortest TTL the provider takes per message; 0 if it takes none per message
    ttl_maximum: int  # longest TTL of a step on this provider
    ttl_step: int = 1  # unit of the provider's TTL; the remaining time is rounded down to it
    read_receipts: bool
    late_delivery: bool  # the provider may deliver after our TTL: expiry is ours alone
    correlation: Correlation
    bulk: int = 1  # items per request
    poll: bool = False
    price_unit: PriceUnit = PriceUnit.MESSAGE
    text_maximum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One attempt on its way to a provider."""

    attempt_id: int
    client_ref: str  # ours: 32 hexadecimal characters, new for every attempt
    phone: str = field(repr=False)  # E.164 with "+"
    body: Body = field(repr=False)
    ttl: int  # seconds that are left, within the capabilities' range


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One attempt whose fate is asked for."""

    attempt_id: int
    client_ref: str
    provider_ref: str | None
    phone: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest(Generic[T]):
    """One call to a provider and the items it carries, in the order of the body."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    items: tuple[T, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What came back, whole; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took it; `refs` are its ids, one per segment where it gives several."""

    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Not a user of this channel: the next channel, at once."""

    code: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for a reason that is ours to fix: the next channel, and an alert."""

    code: str


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """The recipient cannot be reached here: the next channel."""

    code: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """Documented as not accepted: try again, not before `retry_after` seconds if given."""

    code: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Provably not accepted: the connection was refused, or the provider documents it."""

    code: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have been accepted. Never sent again blindly."""

    code: str


Result = Accepted | Unsupported | Rejected | Undeliverable | Throttled | Unavailable | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A provider's word about one attempt, from a webhook or a poll."""

    status: AttemptState
    native_status: str
    native_code: str = ""
    client_ref: str | None = None
    provider_ref: str | None = None
    event_at: dt.datetime | None = None  # aware; the provider's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook call as it came; header names are lower case."""

    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ack:
    """What a provider wants to hear once its receipt is committed."""

    status: int = 200
    body: bytes = b""


class UnsayableError(Exception):
    """The provider has no words for that body, such as a template where it takes text only."""


class ForgedWebhookError(Exception):
    """The webhook's signature does not fit its raw body, or is missing."""


class UnreadableWebhookError(Exception):
    """The webhook is authentic, yet not in the provider's format."""


class Adapter(Protocol):
    """One account at one provider."""

    @property
    def account(self) -> str: ...
    @property
    def channel(self) -> Channel: ...
    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def token_digests(self) -> frozenset[bytes]:
        """SHA-256 of the secrets that the path of unsigned webhooks may end in; empty where the
        provider signs.
        """
        ...

    @property
    def allowed_ips(self) -> frozenset[str]:
        """The addresses that webhooks may come from; empty where any may."""
        ...

    def requests_for(self, items: Sequence[Item]) -> Sequence[HttpRequest[Item]]:
        """Signed requests that together carry `items`; raises if one of them cannot be said."""
        ...

    def results_of(self, request: HttpRequest[Item], response: HttpResponse) -> Sequence[Result]:
        """One result per item of `request`, in its order."""
        ...

    def verify(self, webhook: Webhook) -> None:
        """Raises ForgedWebhookError; looks at raw bytes only."""
        ...

    def parse(self, webhook: Webhook) -> Sequence[Receipt]:
        """The receipts in a verified webhook; raises UnreadableWebhookError."""
        ...

    def ack(self) -> Ack: ...

    def handshake(self, query: Mapping[str, str]) -> str | None:
        """The answer to the provider's GET that proves the address is ours; None to refuse."""
        ...


@runtime_checkable
class Pollable(Protocol):
    """A provider that can be asked about attempts."""

    def poll_requests_for(self, pending: Sequence[Pending]) -> Sequence[HttpRequest[Pending]]:
        """Requests that ask about those of `pending` that this provider can find."""
        ...

    def receipts_of(
        self, request: HttpRequest[Pending], response: HttpResponse
    ) -> Sequence[Receipt]:
        """What the provider says; states it does not know of are left out."""
        ...
