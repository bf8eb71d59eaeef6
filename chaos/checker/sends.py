"""What reached the providers: once, with a committed intent, and in time."""

from __future__ import annotations

import datetime as dt

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.checker.evidence import Evidence
from chaos.checker.ledger import Call, Key
from chaos.checker.tables import Attempt


_CLOCKS_APART = dt.timedelta(milliseconds=5)  # the database and the sandbox are on one machine
_RESUMED = dt.timedelta(
    seconds=10
)  # how soon after its stop a process makes the calls it had begun
_ANY_CHANNEL = "urgent"  # the worker that serves all of them


def second_sends(evidence: Evidence) -> Iterator[str]:
    """Sends of one reference that were accepted again, where nobody asked for it.

    Accounts that deduplicate by our reference do not accept a second one. An attempt that was given
    two references by its provider was sent twice, too.
    """
    seen = set()
    for key, count in evidence.ledger.accepted.items():
        if count > 1 and key.account not in evidence.at_least_once:
            seen.add(key)
            yield from (f"{key}: accepted again" for _ in range(count - 1))
    for attempt, refs in _refs_by_part(evidence):
        if len(refs) > 1 and attempt.key not in seen | _opted_in(evidence, attempt):
            yield f"attempt {attempt.id} ({attempt.key}): has the references {', '.join(refs)}"


def duplicates(evidence: Evidence) -> Iterator[str]:
    """Second accepted sends at accounts that a policy opted into at-least-once."""
    for key, count in evidence.ledger.accepted.items():
        if key.account in evidence.at_least_once:
            yield from (f"{key}: accepted again" for _ in range(count - 1))


def sends_without_intent(evidence: Evidence) -> Iterator[str]:
    """Calls that no attempt of ours had announced before: each needs an intent of its own."""
    attempts = evidence.tables.by_key()
    made: Counter[Key] = Counter()
    for call in sorted(evidence.ledger.calls, key=lambda call: call.received_at):
        attempt = attempts.get(call.key)
        if attempt is None:
            yield f"{call.key}: called at {call.received_at:%H:%M:%S.%f}, and no such attempt"
        elif made[call.key] >= len(attempt.intents):
            yield f"attempt {attempt.id} ({call.key}): called, and not meant to be"
        elif call.received_at < (meant_at := attempt.intents[made[call.key]]) - _CLOCKS_APART:
            early = (meant_at - call.received_at).total_seconds()
            yield f"attempt {attempt.id} ({call.key}): called {early:.3f} s before its intent"
        made[call.key] += 1


def sends_after_deadline(evidence: Evidence) -> Iterator[str]:
    """Calls after their message's deadline, by processes that nobody had stopped."""
    for call, attempt, late in _late(evidence):
        if not _was_stopped(evidence, call, attempt):
            yield f"attempt {attempt.id} ({call.key}): called {late:.3f} s after the deadline"


def stopped_sends(evidence: Evidence) -> Iterator[str]:
    """Calls after their message's deadline, by processes that were stopped before they made them."""
    for call, attempt, late in _late(evidence):
        if _was_stopped(evidence, call, attempt):
            yield f"attempt {attempt.id} ({call.key}): called {late:.3f} s after the deadline"


def skipped_channels(evidence: Evidence) -> Iterator[str]:
    """Ambiguous intents that no provider ever took: their channels were passed over."""
    for attempt in evidence.tables.attempts.values():
        if attempt.unknown_at is not None and not evidence.ledger.accepted[attempt.key]:
            yield f"attempt {attempt.id} ({attempt.key})"


def _late(evidence: Evidence) -> Iterator[tuple[Call, Attempt, float]]:
    attempts, messages = evidence.tables.by_key(), evidence.tables.messages
    for call in evidence.ledger.calls:
        attempt = attempts.get(call.key)
        if attempt is None or attempt.message_id not in messages:
            continue
        late = call.received_at - messages[attempt.message_id].deadline
        if late > evidence.tolerance:
            yield call, attempt, late.total_seconds()


def _was_stopped(evidence: Evidence, call: Call, attempt: Attempt) -> bool:
    """Whether the process that called may have been stopped between its check and the call."""
    return any(
        stop.process in (attempt.channel, _ANY_CHANNEL)
        and call.received_at - _RESUMED <= stop.ended <= call.received_at + evidence.tolerance
        for stop in evidence.stops
    )


def _refs_by_part(evidence: Evidence) -> Iterator[tuple[Attempt, list[str]]]:
    found: dict[tuple[int, int], set[str]] = defaultdict(set)
    for one in evidence.tables.refs:
        found[one.attempt_id, one.part].add(one.ref)
    for (attempt_id, _), refs in found.items():
        yield evidence.tables.attempts[attempt_id], sorted(refs)


def _opted_in(evidence: Evidence, attempt: Attempt) -> set[object]:
    return {attempt.key} if attempt.key.account in evidence.at_least_once else set()
