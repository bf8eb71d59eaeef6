"""Where webhooks may go: never into our own network, whatever a customer's name resolves to.

The name is resolved once for a connection, every address is checked, and the connection is made to
a checked one, so that an answer which changes between two look-ups gains nothing. What
`ipaddress.is_global` says is not asked: it takes NAT64, 6to4 and multicast for global.
"""

from __future__ import annotations

import socket

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit


Network = IPv4Network | IPv6Network

# The registries of special addresses at IANA, what clouds answer by at their own machines, and
# all of IPv6 outside of 2000::/3, which is all that is given out.
DENIED: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers; metadata of Alibaba Cloud
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's host
            "169.254.0.0/16",  # link-local; metadata of most clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; metadata of Oracle Cloud
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved; broadcast
            "::/3",  # unspecified, loopback, mapped and compatible IPv4, NAT64, discard
            "2001::/23",  # Teredo, ORCHID, benchmarks
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which holds an IPv4 address
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
            "4000::/2",  # not given out; 5f00::/16 routes by segments
            "8000::/1",  # not given out; private, link-local, site-local, multicast
        ),
    )
)

HTTPS = 443

Resolve = Callable[[str, int], Sequence[str]]


class RefusedAddressError(Exception):
    """A webhook may not go there; the text names the rule, and no address."""


def resolve(host: str, port: int) -> list[str]:
    """Every address of the name, in the order in which they are to be tried; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(frozen=True, slots=True)
class Guard:
    """`ports` besides 443; `private_networks` are of our own, and may be reached, also by http."""

    ports: frozenset[int] = frozenset()
    private_networks: tuple[Network, ...] = ()
    resolve: Resolve = resolve

    def check_url(self, url: str) -> None:
        """Raises ValueError with what is wrong and how to mend it; the name is not resolved."""
        if any(character <= " " or character in "\\\x7f" for character in url):
            raise ValueError("it holds a blank or a backslash; write them as %20 and %5C")
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("it is no https:// address; write https://host/path")
        if parts.username is not None or parts.password is not None:
            raise ValueError("it holds a user; webhooks are signed instead, so remove it")
        if parts.fragment:
            raise ValueError("it ends in #…, which is never sent; remove it")
        port = parts.port or (HTTPS if parts.scheme == "https" else 80)
        try:
            self._check_port(port)
            self._check_literal(parts.hostname, is_tls=parts.scheme == "https")
        except RefusedAddressError as error:
            raise ValueError(str(error)) from None

    def addresses(self, host: str, port: int, *, is_tls: bool) -> list[str]:
        """The addresses that a connection may be made to.

        Raises RefusedAddressError if one of them is refused, and OSError where there is none.
        """
        self._check_port(port)
        found = list(self.resolve(host.strip("[]"), port))
        if not found:
            raise OSError("the name has no address")
        for one in found:
            self._check_address(one, is_tls=is_tls)
        return found

    def _check_port(self, port: int) -> None:
        if port != HTTPS and port not in self.ports:
            raise RefusedAddressError(
                f"port {port} is not among those that may be called; add it to `ports`"
            )

    def _check_literal(self, host: str, *, is_tls: bool) -> None:
        try:
            ip_address(host)
        except ValueError:
            return  # a name
        self._check_address(host, is_tls=is_tls)

    def _check_address(self, written: str, *, is_tls: bool) -> None:
        address = ip_address(written.partition("%")[0])  # less its zone
        if any(address in network for network in self.private_networks):
            return
        if any(address in network for network in DENIED):
            raise RefusedAddressError(
                "it leads into a private or reserved network; if that is your own, add it to"
                " `private_networks`"
            )
        if not is_tls:
            raise RefusedAddressError(
                "it is plain http, which only goes into `private_networks`; write https"
            )
