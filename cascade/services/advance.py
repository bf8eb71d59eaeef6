"""Taking messages through events: lock, ask the engine, write the difference, charge."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import uuid

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cascade import tracing
from cascade.domain import engine
from cascade.domain.cascade import Cascade
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState
from cascade.services.charge import charge
from cascade.services.deployment import Records
from cascade.storage.database import is_passing
from cascade.storage.store import Transaction


log = logging.getLogger(__name__)

Event = Callable[[Cascade, dt.datetime], Cascade]
Spare = Callable[[Transaction, Iterable[uuid.UUID]], Iterable[uuid.UUID]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """What came of it; `hints` are to be published after the commit."""

    hints: Sequence[Hint]
    delivered: int = 0  # attempts
    expired: int = 0  # attempts
    ended: int = 0  # messages
    before: Mapping[uuid.UUID, Cascade] = field(default_factory=dict)
    after: Mapping[uuid.UUID, Cascade] = field(default_factory=dict)
    at: dt.datetime | None = None


def hearing(word: engine.Word) -> Event:
    """The event that a provider said something."""
    return lambda cascade, now: engine.hear(cascade, word, now)


def expiring(attempt_id: int) -> Event:
    """The event that an attempt's time seems to be over."""
    return lambda cascade, now: engine.expire(cascade, attempt_id, now)


def expiries(due: Mapping[int, uuid.UUID]) -> dict[uuid.UUID, list[Event]]:
    """That the time of these attempts seems to be over: events by message, from message ids by
    attempt ids.
    """
    events: dict[uuid.UUID, list[Event]] = defaultdict(list)
    for attempt_id, message_id in due.items():
        events[message_id].append(expiring(attempt_id))
    return events


def advance(
    transaction: Transaction,
    ledger: Records,
    events: Mapping[uuid.UUID, Iterable[Event]],
    *,
    skip_locked: bool = False,
    spare: Spare | None = None,
) -> Advanced:
    """Takes each message through its events, in this transaction.

    With `skip_locked`, messages that another transaction holds are left as they are; so are those
    that `spare` names once the locks are held.
    """
    if not events:
        return Advanced(hints=[])
    before = transaction.lock(events, skip_locked=skip_locked)
    for one in spare(transaction, before) if spare else ():
        del before[one]
    now = transaction.now()  # after the locks: no event is older than what it meets
    after = {one: _through(old, events[one], now) for one, old in before.items()}
    hints = transaction.write(before, after, now)
    pairs = [(old, after[one]) for one, old in before.items()]
    delivered = [attempt_id for old, new in pairs for attempt_id in _newly_delivered(old, new)]
    charge(transaction, ledger, delivered)
    return Advanced(
        hints=hints,
        delivered=len(delivered),
        expired=sum(_expired(new) - _expired(old) for old, new in pairs if new is not old),
        ended=sum(old.ended_at is None and new.ended_at is not None for old, new in pairs),
        before=before,
        after=after,
        at=now,
    )


def advance_all(
    ledger: Records,
    events: Mapping[uuid.UUID, Iterable[Event]],
    *,
    skip_locked: bool = False,
    spare: Spare | None = None,
    patience: float | None = None,
) -> Advanced:
    """`advance` in a transaction of its own that survives a bad row.

    A set that fails as a whole is halved down to the culprit, which is looked at again later, with
    an alert. Raises only what the database's own troubles raise.
    """
    if not events:
        return Advanced(hints=[])
    try:
        advanced = ledger.store.transaction(
            lambda transaction: advance(
                transaction, ledger, events, skip_locked=skip_locked, spare=spare
            ),
            patience=patience,
        )
    except Exception as error:
        if is_passing(error):
            raise
        if len(events) == 1:
            [culprit] = events
            log.exception("a message cannot be advanced", extra={"message_id": culprit})
            ledger.store.transaction(lambda transaction: transaction.defer_message(culprit))
            return Advanced(hints=[])
    else:
        tracing.moved(advanced.before, advanced.after)
        return advanced
    ids = sorted(events)
    halves = (ids[: len(ids) // 2], ids[len(ids) // 2 :])
    done = [
        advance_all(
            ledger,
            {one: events[one] for one in half},
            skip_locked=skip_locked,
            spare=spare,
            patience=patience,
        )
        for half in halves
    ]
    return Advanced(
        hints=[hint for part in done for hint in part.hints],
        delivered=sum(part.delivered for part in done),
        expired=sum(part.expired for part in done),
        ended=sum(part.ended for part in done),
    )


def _through(cascade: Cascade, events: Iterable[Event], now: dt.datetime) -> Cascade:
    return functools.reduce(lambda so_far, event: event(so_far, now), events, cascade)


def _expired(cascade: Cascade) -> int:
    return sum(attempt.state is AttemptState.EXPIRED for attempt in cascade.attempts)


def _newly_delivered(old: Cascade, new: Cascade) -> Iterable[int]:
    pairs = zip(old.attempts, new.attempts, strict=False)  # what was opened is not delivered yet
    return [
        one.id
        for was, one in pairs
        if one.id is not None and one.is_delivered and not was.is_delivered
    ]
