"""Whom a webhook is for: the account that its path names, if token and caller fit."""

from __future__ import annotations

import logging

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope

from cascade.channels.account import is_believed
from cascade.channels.base import Adapter
from cascade.gateway.caller import caller_address
from cascade.gateway.token import is_addressed


log = logging.getLogger(__name__)

PREFIX = "/receipts/"


@dataclass(frozen=True, slots=True)
class Address:
    """An account, with what is asked of it at every webhook."""

    adapter: Adapter
    token_digests: frozenset[bytes]
    allowed_ips: frozenset[str]
    is_believed: bool  # a delivery that its webhooks tell may charge without a poll


class Addresses:
    """The accounts behind `/receipts/<account>` and `/receipts/<account>/<token>`."""

    def __init__(self, adapters: Mapping[str, Adapter], *, trusted_hops: int) -> None:
        """`trusted_hops` is the number of our own proxies before the gateway."""
        self._by_account = {
            account: Address(
                adapter, adapter.token_digests, adapter.allowed_ips, is_believed(adapter)
            )
            for account, adapter in adapters.items()
        }
        self._trusted_hops = trusted_hops

    def account_of(self, scope: Scope) -> str:
        """The account that the path names; there may be none of that name."""
        return _parts(scope)[0]

    def of(self, scope: Scope) -> Address | None:
        """The account that the path names, if its secret token and the caller's address fit."""
        account, token = _parts(scope)
        address = self._by_account.get(account)
        if address is None:
            return None
        if not is_addressed(address.token_digests, token):
            log.warning("a webhook has a wrong token", extra={"account": account})
            return None
        if address.allowed_ips and self._caller(scope) not in address.allowed_ips:
            log.warning("a webhook comes from a strange address", extra={"account": account})
            return None
        return address

    def _caller(self, scope: Scope) -> str | None:
        client = scope.get("client")
        forwarded = [
            value.decode("latin-1")
            for name, value in scope["headers"]
            if name == b"x-forwarded-for"
        ]
        return caller_address(client[0] if client else None, forwarded, self._trusted_hops)


def is_one(path: str) -> bool:
    """Whether `path` has the form of an address."""
    account, *tokens = path.removeprefix(PREFIX).split("/")
    return path.startswith(PREFIX) and bool(account) and len(tokens) <= 1 and all(tokens)


def _parts(scope: Scope) -> tuple[str, str | None]:
    """The account and the token, if there is one; both as they came."""
    account, slash, token = scope["path"].removeprefix(PREFIX).partition("/")
    return account, token if slash else None
