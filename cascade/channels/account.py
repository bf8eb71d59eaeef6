"""What every account at a provider has, read and checked once at the start.

Secrets are `SecretStr`, so no repr, log or error shows them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
)

from cascade.channels.base import Ack, Adapter, Capabilities, Item, UnsayableError, Webhook
from cascade.channels.limit import Limited
from cascade.domain.message import Template, Text
from cascade.domain.state import Channel


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an http or https address")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("an address here holds no user, query or fragment")
    return text.rstrip("/")


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _ip(text: str) -> str:
    address = ipaddress.ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _tokens(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for secret in secrets:
        _check_token(secret.get_secret_value())
    return secrets


def _check_token(token: str) -> None:
    if _DIGEST.fullmatch(token):
        return
    if not _TOKEN.fullmatch(token):
        raise ValueError("it is part of an address: use letters, digits, - and _ only")
    if _bits(token) < _TOKEN_BITS or len(set(token)) < _TOKEN_VARIETY:
        raise ValueError(f"it can be guessed: draw {_TOKEN_BITS} bits at random")


def _bits(token: str) -> float:
    """What a token of this length and alphabet holds if it was drawn at random."""
    alphabet = next(size for pattern, size in _ALPHABETS if pattern.fullmatch(token))
    return len(token) * math.log2(alphabet)


Url = Annotated[str, AfterValidator(_url)]
Name = Annotated[str, Field(min_length=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_split), Field(min_length=1)]
Ips = Annotated[frozenset[Annotated[str, AfterValidator(_ip)]], BeforeValidator(_split)]

# Nobody guesses the address of a webhook: 22 characters of URL-safe base64, 32 of hexadecimal.
_TOKEN_BITS = 128
_TOKEN_VARIETY = 8  # different characters: a random token of that size has more
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ALPHABETS = (
    (re.compile(r"[0-9]+"), 10),
    (re.compile(r"[0-9a-f]+|[0-9A-F]+"), 16),
    (re.compile(r"[0-9a-z]+|[0-9A-Z]+"), 36),
    (_TOKEN, 64),
)

Tokens = Annotated[
    tuple[SecretStr, ...], BeforeValidator(_split), AfterValidator(_tokens), Field(min_length=1)
]


class Confirmation(StrEnum):
    """What must confirm a delivery that an unsigned webhook claims, before it is charged."""

    NONE = "none"
    POLL = "poll"


class Account(BaseModel):
    """One set of credentials at one provider that serves one channel.

    `allowed_ips` are the addresses that its webhooks may come from, empty where any may. `rate` and
    `per_person` are kept by all workers together; None where the provider names no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    capabilities: ClassVar[Capabilities]
    channels: ClassVar[frozenset[Channel]]  # those that its provider can serve

    account: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    channel: Channel
    base_url: Url
    gateway_url: Url
    allowed_ips: Ips = frozenset()
    rate: Limited = None
    per_person: Limited = None

    def ack(self) -> Ack:
        """200 and an empty body, which every provider here takes."""
        return Ack()


class UnsignedAccount(Account):
    """An account whose webhooks carry no signature: a secret in their path vouches for them.

    `webhook_token` is a list, for its rotation: the first is given out, all are accepted. One may
    be written as `sha256:` and its SHA-256 in hexadecimal where nobody needs to give it out.
    """

    gives_token: ClassVar[bool] = False  # to the provider, with each message

    tokens: Tokens = Field(alias="webhook_token")
    confirm: Confirmation = Confirmation.NONE

    @field_validator("confirm")
    @classmethod
    def _check_confirm(cls, confirm: Confirmation) -> Confirmation:
        if confirm is Confirmation.POLL and not cls.capabilities.poll:
            raise ValueError("this provider cannot be asked about messages")
        return confirm

    @property
    def is_token_known(self) -> bool:
        """Whether the token to be given out is there itself, not its digest."""
        return not _DIGEST.fullmatch(self.tokens[0].get_secret_value())

    @property
    def webhook_url(self) -> str:
        """Where its webhooks go, token and all: a secret. Raises UnsayableError."""
        if not self.is_token_known:
            raise UnsayableError("the webhook token is known by its digest only")
        return f"{self.gateway_url}/receipts/{self.account}/{self.tokens[0].get_secret_value()}"

    @property
    def token_digests(self) -> frozenset[bytes]:
        """SHA-256 of the secrets that the path of its webhooks may end in."""
        return frozenset(_digest(token.get_secret_value()) for token in self.tokens)

    def verify(self, webhook: Webhook) -> None:
        """Nothing to look at: the gateway compares the token before it asks."""

    def handshake(self, query: Mapping[str, str]) -> str | None:  # noqa: ARG002  # the contract
        """None: the provider asks for no proof."""
        return None


def is_believed(adapter: Adapter) -> bool:
    """Whether a delivery that a webhook of this account tells may charge without a poll."""
    return not isinstance(adapter, UnsignedAccount) or adapter.confirm is Confirmation.NONE


def _digest(token: str) -> bytes:
    if _DIGEST.fullmatch(token):
        return bytes.fromhex(token.partition(":")[2])
    return hashlib.sha256(token.encode()).digest()


def text_of(item: Item) -> str:
    """The words of `item`; raises UnsayableError for a template."""
    match item.body:
        case Text(text):
            return text
        case Template():
            raise UnsayableError("this provider takes text only")
