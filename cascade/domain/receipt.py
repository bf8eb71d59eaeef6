"""What makes two receipts the same."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

from cascade.domain.state import AttemptState


def dedupe_key(
    *,
    account: str,
    refs: tuple[str | None, str | None],
    status: AttemptState,
    native: tuple[str, str],
    event_at: dt.datetime | None,
) -> bytes:
    """16 bytes that are equal for a repeated receipt, and different for any other.

    `refs` are ours and the provider's, `native` its status and code. The time of the event is
    part of it, since providers' references restart and repeat.
    """
    when = None if event_at is None else event_at.isoformat()
    # JSON keeps the parts apart, and takes whatever characters a provider sends.
    parts = json.dumps([account, *refs, status.value, *native, when])
    return hashlib.blake2b(parts.encode(), digest_size=16).digest()
