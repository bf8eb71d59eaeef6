"""What becomes of claimed attempts whose person was called as often as the provider allows."""

from __future__ import annotations

from collections.abc import Sequence

from cascade.channels.base import Result, Throttled, Undeliverable
from cascade.services.deployment import Deployment
from cascade.storage.claim import Claimed


_CODE = "person_limit"


def over_limit(
    deployment: Deployment, account: str, claimed: Sequence[Claimed]
) -> list[tuple[Claimed, Result]]:
    """Those that must not be called, with their results; a call to each of the others is counted.

    Throttled where the wait fits into the TTL, else Undeliverable: the next channel, at once.
    """
    if deployment.limits is None:
        return []
    persons = {one.attempt_id: one.recipient_hash for one in claimed}
    waits = deployment.limits.count_calls(account, persons)
    return [(one, _result(one, wait)) for one in claimed if (wait := waits[one.attempt_id])]


def _result(one: Claimed, wait: float) -> Result:
    return Throttled(_CODE, wait) if wait < one.seconds_left else Undeliverable(_CODE)
