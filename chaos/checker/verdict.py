"""The judgement: the counts that must be zero, and what is reported honestly beside them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chaos.checker import expiries, inbox, money, promises, sends, states
from chaos.checker.evidence import Evidence, Finding, finding
from chaos.checker.money import Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`violations` must all be zero; `reported` need not."""

    violations: Mapping[str, Finding]
    reported: Mapping[str, Finding]
    sums: Mapping[tuple[str, str], Sums]  # by account and currency
    totals: Mapping[str, Mapping[str, int]]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was violated."""
        return not any(found.count for found in self.violations.values())


def judge(evidence: Evidence) -> Verdict:
    """Looks at everything once."""
    books = money.compare(evidence)
    troubles = evidence.troubles
    return Verdict(
        violations={
            "lost": finding(promises.lost(evidence)),
            "stuck": finding(promises.stuck(evidence)),
            "charged_twice": money.charged_twice(evidence),
            "not_charged": finding(books.not_charged),
            "sum_difference": books.sum_difference,
            "second_sends": finding(sends.second_sends(evidence)),
            "sends_without_intent": finding(sends.sends_without_intent(evidence)),
            "sends_after_deadline": finding(sends.sends_after_deadline(evidence)),
            "backward": finding(states.backward(evidence)),
            "hasty_expiries": finding(expiries.hasty_expiries(evidence)),
            "receipts_unapplied": finding(inbox.receipts_unapplied(evidence)),
            "exceptions": finding(str(one) for one in troubles if one.expected is None),
        },
        reported={
            "unattributable": finding(books.unattributable),
            "unheard": finding(books.unheard),
            "duplicates": finding(sends.duplicates(evidence)),
            "overlaps": finding(_overlaps(evidence)),
            "skipped_channels": finding(sends.skipped_channels(evidence)),
            "stopped_sends": finding(sends.stopped_sends(evidence)),
            "unjournalled": finding(promises.unjournalled(evidence)),
            "expected_exceptions": finding(str(one) for one in troubles if one.expected),
        },
        sums=books.sums,
        totals=_totals(evidence),
    )


def _overlaps(evidence: Evidence) -> Iterator[str]:
    """Messages that reached their person on more than one channel."""
    channels = defaultdict(list)
    for attempt in evidence.tables.attempts.values():
        if attempt.delivered_at is not None:
            channels[attempt.message_id].append(attempt.channel)
    for message_id, delivered in channels.items():
        if len(delivered) > 1:
            yield f"message {message_id}: {', '.join(delivered)}"


def _totals(evidence: Evidence) -> dict[str, dict[str, int]]:
    tables = evidence.tables
    return {
        "accepted": {"journal": len({one.message_id for one in evidence.accepted})},
        "messages": dict(Counter(one.state for one in tables.messages.values())),
        "attempts": dict(Counter(one.state for one in tables.attempts.values())),
        "ledger": dict(evidence.ledger.events),
        "exceptions": dict(Counter(f"{one.kind} in {one.place}" for one in evidence.troubles)),
    }
