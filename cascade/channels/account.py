"""What every account at a provider has, read and checked once at the start.

Secrets are `SecretStr`, so no repr, log or error shows them.
"""

from __future__ import annotations

import ipaddress

from collections.abc import Mapping
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from cascade.channels.base import Ack, Capabilities, Item, UnsayableError, Webhook
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
    return str(ipaddress.ip_address(text))


Url = Annotated[str, AfterValidator(_url)]
Name = Annotated[str, Field(min_length=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_split), Field(min_length=1)]
Ips = Annotated[frozenset[Annotated[str, AfterValidator(_ip)]], BeforeValidator(_split)]

# 22 characters of URL-safe base64 are 128 bits: nobody guesses the address of a webhook.
Token = Annotated[SecretStr, Field(min_length=22)]


class Account(BaseModel):
    """One set of credentials at one provider that serves one channel.

    `allowed_ips` are the addresses that its webhooks may come from, empty where any may.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    capabilities: ClassVar[Capabilities]
    channels: ClassVar[frozenset[Channel]]  # those that its provider can serve

    account: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    channel: Channel
    base_url: Url
    gateway_url: Url
    allowed_ips: Ips = frozenset()

    def ack(self) -> Ack:
        """200 and an empty body, which every provider here takes."""
        return Ack()


class UnsignedAccount(Account):
    """An account whose webhooks carry no signature: a secret in their path vouches for them."""

    token: Token = Field(alias="webhook_token")

    @property
    def webhook_token(self) -> str:
        """The last part of the path of its webhooks."""
        return self.token.get_secret_value()

    @property
    def webhook_url(self) -> str:
        """Where its webhooks go, token and all: a secret."""
        return f"{self.gateway_url}/receipts/{self.account}/{self.webhook_token}"

    def verify(self, webhook: Webhook) -> None:
        """Nothing to look at: the gateway compares the token before it asks."""

    def handshake(self, query: Mapping[str, str]) -> str | None:  # noqa: ARG002  # the contract
        """None: the provider asks for no proof."""
        return None


def text_of(item: Item) -> str:
    """The words of `item`; raises UnsayableError for a template."""
    match item.body:
        case Text(text):
            return text
        case Template():
            raise UnsayableError("this provider takes text only")
