"""The secret last part of a webhook's path, for providers that do not sign."""

from __future__ import annotations

import hashlib
import hmac

from collections.abc import Iterable


def is_addressed(digests: Iterable[bytes], token: str | None) -> bool:
    """Whether the path ends as it should: in one of the tokens, or in none where none is set.

    `digests` are the tokens' SHA-256; a comparison takes the same time whatever is guessed.
    """
    known = tuple(digests)
    if token is None or not known:
        return token is None and not known
    given = hashlib.sha256(token.encode()).digest()
    return any(hmac.compare_digest(given, one) for one in known)
