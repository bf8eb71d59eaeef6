"""Lining up before the claim: a step's TTL starts with its first call, so no wait may consume it."""

from __future__ import annotations

import logging

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cascade.channels.limit import Place
from cascade.domain.hint import Hint
from cascade.domain.state import Channel, Lane
from cascade.services.advance import advance_all, expiries
from cascade.services.deployment import Deployment
from cascade.storage.database import is_passing
from cascade.storage.queueing import Queued


if TYPE_CHECKING:
    from cascade.channels.limits import Limits


log = logging.getLogger(__name__)

_LANES = tuple(Lane)
RANKS = 2 * len(_LANES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Attempts that may be called now; counts of the others, and the hints of what was opened."""

    attempt_ids: Sequence[int]
    counts: Counter[str] = field(default_factory=Counter)
    hints: Sequence[Hint] = ()


def admit(
    deployment: Deployment, channel: Channel, lane: Lane, attempt_ids: Sequence[int]
) -> Admitted:
    """Lets through what the limits of the channel's accounts allow now.

    The others wait as `due_at`; those that would wait in vain give up their step, and the next one
    opens. Without a limit nobody is asked. What the database cannot do now, the tick brings again.
    """
    limits = deployment.limits
    accounts = [one.account for one in deployment.adapters.values() if one.channel is channel]
    if limits is None or not any(limits.has_rate(one) for one in accounts):
        return Admitted(attempt_ids=attempt_ids)
    try:
        return _line_up(deployment, limits, lane, attempt_ids)
    except Exception as error:
        if not is_passing(error):
            raise
        log.warning("attempts could not line up: %s", type(error).__name__)
        return Admitted(attempt_ids=())


def _line_up(
    deployment: Deployment, limits: Limits, lane: Lane, attempt_ids: Sequence[int]
) -> Admitted:
    store = deployment.ledger.store
    queued = store.transaction(lambda t: t.queued(attempt_ids))
    waits = _waits(limits, lane, queued)
    late = {one.attempt_id: _wait(one, waits[one.attempt_id]) for one in queued}
    hopeless = [one for one, wait in late.items() if wait is None]
    put_off = {one: wait for one, wait in late.items() if wait}
    if put_off:
        store.transaction(lambda t: t.put_off(put_off))
    given_up = store.transaction(lambda t: t.give_up(hopeless)) if hopeless else {}
    return Admitted(
        attempt_ids=[one for one, wait in late.items() if wait == 0],
        counts=Counter(waiting=len(put_off), given_up=len(given_up)),
        hints=advance_all(deployment.ledger, expiries(given_up)).hints,
    )


def _waits(limits: Limits, lane: Lane, queued: Sequence[Queued]) -> dict[int, float | None]:
    by_account: dict[str, list[Place]] = defaultdict(list)
    for one in queued:
        place = Place(attempt_id=one.attempt_id, rank=_rank(lane, one), left=one.seconds_left)
        by_account[one.account].append(place)
    return {
        attempt_id: wait
        for account, places in by_account.items()
        for attempt_id, wait in limits.take_slots(account, places).items()
    }


def _rank(lane: Lane, one: Queued) -> int:
    """Urgent lanes first; in each, those first that were called before: their TTL is running."""
    return 1 + 2 * _LANES.index(lane) + (one.tries == 0)


def _wait(one: Queued, wait: float | None) -> float | None:
    """A running TTL is waited for to its end."""
    return one.seconds_left if wait is None and one.tries else wait
