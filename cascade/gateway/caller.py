"""Where a request comes from, as far as it can be believed."""

from __future__ import annotations

import ipaddress

from collections.abc import Sequence


def caller_address(peer: str | None, forwarded: Sequence[str], trusted_hops: int) -> str | None:
    """The caller's address in its usual form; None if it cannot be told.

    `peer` is the socket's. With `trusted_hops` proxies of ours in front, it is the entry that the
    first of them added, counted from the right of all `X-Forwarded-For` headers: whatever stands
    further left was said by the caller itself.
    """
    if trusted_hops == 0:
        return _usual(peer)
    entries = [part.strip() for header in forwarded for part in header.split(",")]
    if len(entries) < trusted_hops:
        return None
    return _usual(entries[-trusted_hops])


def _usual(address: str | None) -> str | None:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
