"""Settling calls: results that leave the step open touch attempts only, the others end steps."""

from __future__ import annotations

import logging
import uuid

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, assert_never

from cascade import tracing
from cascade.channels.base import (
    Accepted,
    Rejected,
    Result,
    Throttled,
    Unavailable,
    Undeliverable,
    Unknown,
    Unsupported,
)
from cascade.domain.backoff import pause
from cascade.domain.engine import RECEIPT_GRACE, Word
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState
from cascade.services.advance import advance_all, hearing
from cascade.services.deployment import SETTLE_PATIENCE, Deployment
from cascade.services.flight import given_ttl
from cascade.services.halving import halved
from cascade.storage.claim import Claimed
from cascade.storage.database import is_passing
from cascade.storage.fall_back import FellBack
from cascade.storage.settle import Taken, Unclear, Unsent
from cascade.storage.store import Transaction


log = logging.getLogger(__name__)

K = TypeVar("K", bound=Taken | Unclear | Unsent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Counts by outcome, and the hints of the steps that were opened."""

    counts: Counter[str]
    hints: Sequence[Hint]


@dataclass(slots=True, kw_only=True)
class _Sorted:
    """Results by what they mean for the rows."""

    taken: list[Taken] = field(default_factory=list)
    unclear: list[Unclear] = field(default_factory=list)
    unsent: list[Unsent] = field(default_factory=list)
    ended: list[tuple[Claimed, Word]] = field(default_factory=list)


def settle(deployment: Deployment, results: Sequence[tuple[Claimed, Result]]) -> Settled:
    """Commits what became of calls; tried again on database faults until the leases end.

    Each kind has a transaction of its own: a transaction that locked attempts twice would leave
    the one lock order.
    """
    kinds = _Sorted()
    for claimed, result in results:
        _sort(deployment, kinds, claimed, result)
    _commit(deployment, kinds.taken, lambda t, part: t.settle_taken(part, RECEIPT_GRACE))
    _commit(deployment, kinds.unclear, lambda t, part: t.settle_unclear(part, RECEIPT_GRACE))
    _commit(deployment, kinds.unsent, lambda t, part: t.settle_unsent(part))
    rejected = [word for _, word in kinds.ended if word.state is AttemptState.REJECTED]
    if rejected:
        _alert(rejected)
    hints = _end(deployment, kinds.ended) if kinds.ended else []
    return Settled(counts=_counts(kinds), hints=hints)


def _alert(rejected: Sequence[Word]) -> None:
    codes = dict(Counter(word.code for word in rejected))
    ids = [word.attempt_id for word in rejected]
    log.error(
        "attempts were rejected, which is ours to mend",
        extra={"attempt_ids": ids, "codes": codes},
    )


def _sort(deployment: Deployment, kinds: _Sorted, claimed: Claimed, result: Result) -> None:
    attempt_id, tries = claimed.attempt_id, claimed.tries
    match result:
        case Accepted(refs):
            kinds.taken.append(
                Taken(
                    attempt_id=attempt_id,
                    account=claimed.account,
                    tries=tries,
                    refs=refs,
                    ttl=_still_open(deployment, claimed),
                )
            )
        case Unknown(code):
            kinds.unclear.append(
                Unclear(
                    attempt_id=attempt_id,
                    tries=tries,
                    code=code,
                    ttl=_still_open(deployment, claimed),
                )
            )
        case Throttled(code, retry_after):
            kinds.unsent.append(_unsent(deployment, claimed, code, retry_after))
        case Unavailable(code):
            kinds.unsent.append(_unsent(deployment, claimed, code, None))
        case Unsupported(code):
            kinds.ended.append((claimed, _word(attempt_id, AttemptState.UNSUPPORTED, code)))
        case Rejected(code):
            kinds.ended.append((claimed, _word(attempt_id, AttemptState.REJECTED, code)))
        case Undeliverable(code):
            kinds.ended.append((claimed, _word(attempt_id, AttemptState.UNDELIVERABLE, code)))
        case _:
            assert_never(result)


def _still_open(deployment: Deployment, claimed: Claimed) -> int:
    """Seconds for which the provider may still deliver after its answer; 0 if it takes no TTL."""
    adapter = deployment.adapters.get(claimed.account)
    if adapter is None or adapter.capabilities.ttl_minimum == 0:
        return 0
    return given_ttl(adapter, claimed)


def _unsent(
    deployment: Deployment, claimed: Claimed, code: str, retry_after: float | None
) -> Unsent:
    return Unsent(
        attempt_id=claimed.attempt_id,
        tries=claimed.tries,
        code=code,
        pause=pause(claimed.tries, retry_after=retry_after, jitter=deployment.jitter()),
    )


def _word(attempt_id: int, state: AttemptState, code: str) -> Word:
    return Word(attempt_id=attempt_id, state=state, code=code)


def _commit(
    deployment: Deployment,
    kind: Sequence[K],
    work: Callable[[Transaction, Sequence[K]], object],
) -> None:
    """One result that cannot be kept costs no other: its attempt is unknown when its lease ends."""
    store = deployment.ledger.store
    halved(
        kind,
        lambda part: store.transaction(lambda t: work(t, part), patience=SETTLE_PATIENCE),
        _blame,
    )


def _blame(one: Taken | Unclear | Unsent, error: Exception) -> None:
    log.error(
        "the result of a call cannot be kept: %s",
        type(error).__name__,
        extra={"attempt_id": one.attempt_id},
    )


def _end(deployment: Deployment, ended: Sequence[tuple[Claimed, Word]]) -> list[Hint]:
    """Ends these steps: most of them plainly, the others by the engine."""
    fell_back = _fall_back(deployment, ended)
    events = defaultdict(list)
    for claimed, word in ended:
        if word.attempt_id not in fell_back.attempt_ids:
            events[uuid.UUID(claimed.message_id)].append(hearing(word))
    try:
        advanced = advance_all(deployment.ledger, events, patience=SETTLE_PATIENCE)
    except Exception:
        deployment.ledger.publish(fell_back.hints)  # of what is committed
        raise
    return [*fell_back.hints, *advanced.hints]


def _fall_back(deployment: Deployment, ended: Sequence[tuple[Claimed, Word]]) -> FellBack:
    """A set that fails is left to the engine, which finds the culprit; so is every message while
    messages are traced.
    """
    if tracing.is_on():
        return FellBack()
    refused = {claimed.message_id: word for claimed, word in ended}
    try:
        return deployment.ledger.store.transaction(
            lambda transaction: transaction.fall_back(refused), patience=SETTLE_PATIENCE
        )
    except Exception as error:
        if is_passing(error):
            raise
        log.warning("refusals are left to the engine: %s", type(error).__name__)
        return FellBack()


def _counts(kinds: _Sorted) -> Counter[str]:
    counts = Counter(
        accepted=len(kinds.taken), unknown=len(kinds.unclear), retry=len(kinds.unsent)
    )
    counts.update(word.state.value for _, word in kinds.ended)
    return counts
