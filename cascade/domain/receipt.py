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
    is_unconfirmed: bool = False,
) -> bytes:
    """16 bytes that are equal for a repeated receipt, and different for any other.

    `refs` are ours and the provider's, `native` its status and code. The time of the event is
    part of it, since providers' references restart and repeat. An unconfirmed receipt is not the
    same as the answer to a poll that confirms it.
    """
    when = None if event_at is None else event_at.isoformat()
    parts = [account, *refs, status.value, *native, when]
    if is_unconfirmed:
        parts.append("unconfirmed")
    # JSON keeps the parts apart, and takes whatever characters a provider sends.
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).digest()
