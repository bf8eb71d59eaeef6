"""Signatures of webhooks, as Standard Webhooks 1.0.0 has them: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import binascii
import hmac

from collections.abc import Iterable


PREFIX = "whsec_"
KEY_BYTES = range(24, 65)  # as the standard bounds them


def key_of(secret: str) -> bytes:
    """The key of a secret `whsec_<base64>`; raises ValueError, which does not show it."""
    prefix, encoded = secret[: len(PREFIX)], secret[len(PREFIX) :]
    if prefix != PREFIX:
        raise ValueError(f"it does not begin with {PREFIX}")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    if len(key) not in KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes, and needs 24 to 64")
    return key


def headers(keys: Iterable[bytes], webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers; one signature for each key, so that a receiver can change over.

    `webhook_id` holds no full stop; `timestamp` is in seconds since 1970.
    """
    signed = b".".join((webhook_id.encode(), str(timestamp).encode(), body))
    signatures = (base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{one.decode()}" for one in signatures),
    }
