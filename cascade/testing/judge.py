"""What must hold whatever goes wrong, looked at from outside: the rows as they are written, and the
providers' own records.
"""

from __future__ import annotations

import copy
import datetime as dt
import uuid

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from cascade.channels.base import Correlation
from cascade.domain.state import AttemptState, MessageState
from cascade.storage.charges import Charge
from cascade.testing.clock import VirtualClock
from cascade.testing.memory import Change
from cascade.testing.memory.rows import AttemptRow, MessageRow
from cascade.testing.memory.tables import Tables
from cascade.testing.provider import ScriptedProvider, Taken
from cascade.testing.trace import Trace


GRACE = dt.timedelta(seconds=90)  # after its deadline every message is final
SHOWN = 10  # findings of a kind that are told one by one

# The ways down that there are: a call that provably was not taken.
_BACK = {
    (AttemptState.SENDING, AttemptState.RETRY),
    (AttemptState.RETRY, AttemptState.QUEUED),
}
_STAYING = frozenset({MessageState.DELIVERED, MessageState.CANCELLED})

INVARIANTS: Mapping[str, str] = {
    "lost": "an accepted message is not there",
    "stuck": "a message is not final 90 s after its deadline, or never",
    "charged_twice": "a charge was written over another",
    "not_charged": "a delivery that a receipt or a poll could tell of is not charged",
    "charged_for_nothing": "a charge for what the provider did not deliver",
    "second_sends": "a provider took the same attempt twice",
    "sends_without_intent": "a call began without a committed intent",
    "sends_after_deadline": "a call began after its message's deadline",
    "backward": "a state stepped back",
    "receipts_unapplied": "a receipt that can be matched is not applied",
}


class Judge:
    """Watches a simulation. `findings` are breaches by invariant; empty is what is hoped for."""

    def __init__(self, clock: VirtualClock, trace: Trace) -> None:
        self._clock = clock
        self._trace = trace
        self._accepted: set[uuid.UUID] = set()
        self.findings: Counter[str] = Counter()
        self.told: list[str] = []

    def accepted(self, message_id: uuid.UUID) -> None:
        """The caller was given this id."""
        self._accepted.add(message_id)

    def find(self, invariant: str, what: object) -> None:
        """Notes a breach."""
        self.findings[invariant] += 1
        if self.findings[invariant] <= SHOWN:
            self.told.append(f"{invariant}: {INVARIANTS[invariant]}: {what}")

    def watch(self, changes: Iterable[Change]) -> None:
        """Looks at what a transaction has written."""
        for change in changes:
            match change.new:
                case AttemptRow():
                    assert change.old is None or isinstance(change.old, AttemptRow)  # noqa: S101  # one table
                    self._attempt(change.old, change.new)
                case MessageRow():
                    assert change.old is None or isinstance(change.old, MessageRow)  # noqa: S101  # one table
                    self._message(change.old, change.new)
                case Charge():
                    self._charge(change.old, change.new)

    def _attempt(self, old: AttemptRow | None, new: AttemptRow) -> None:
        was, now = None if old is None else old.state, new.state
        if was is now:
            return
        self._trace.note(f"attempt {new.channel} {new.id} {was} {now}")
        if was is not None and now.rank < was.rank and (was, now) not in _BACK:
            self.find("backward", f"attempt {new.id}, {was} to {now}")

    def _message(self, old: MessageRow | None, new: MessageRow) -> None:
        was = None if old is None else old.state
        if was is new.state:
            return
        self._trace.note(f"message {new.state} {new.id}")
        is_promoted = was is MessageState.UNDELIVERED and new.state is MessageState.DELIVERED
        if was in _STAYING or (was is MessageState.UNDELIVERED and not is_promoted):
            self.find("backward", f"message {new.id}, {was} to {new.state}")

    def _charge(self, old: object, new: Charge) -> None:
        amount = None if new.amount is None else new.amount.value
        self._trace.note(f"charge booked {new.attempt_id} {amount}")
        if old is not None:
            self.find("charged_twice", f"attempt {new.attempt_id}")

    def calling(self, tables: Tables, attempt_id: int) -> None:
        """A call arrives at its provider."""
        row = tables.attempts[attempt_id]
        self._trace.note(f"call {row.account} {attempt_id} {row.tries}")
        if row.state is not AttemptState.SENDING:
            self.find("sends_without_intent", f"attempt {attempt_id} is {row.state}")
        if self._clock.now > tables.messages[row.message_id].deadline:
            self.find("sends_after_deadline", f"attempt {attempt_id}")

    def verdict(
        self, tables: Tables, providers: Sequence[ScriptedProvider], *, is_over: bool
    ) -> Judge:
        """A judge who has also looked at what is there now, and at the books if all `is_over`."""
        last = copy.copy(self)
        last.findings, last.told = self.findings.copy(), self.told.copy()
        last._close_messages(tables, is_over=is_over)  # noqa: SLF001  # of this class
        if is_over:
            last._close_books(tables, providers)  # noqa: SLF001  # of this class
        return last

    def _close_books(self, tables: Tables, providers: Sequence[ScriptedProvider]) -> None:
        heard = {
            ref
            for row in tables.receipts.values()
            if row.new.status.rank >= AttemptState.DELIVERED.rank
            for ref in (row.new.client_ref, row.new.provider_ref)
        }
        for provider in providers:
            self._close_record(tables, provider, heard)
        delivered = {one.attempt_id for p in providers for one in p.record if one.delivered_at}
        for attempt_id in tables.charges.keys() - delivered:
            self.find("charged_for_nothing", f"attempt {attempt_id}")
        for row in tables.unapplied.values():
            if row.new.client_ref in tables.by_client_ref:
                self.find("receipts_unapplied", f"of {row.new.account}")

    def _close_messages(self, tables: Tables, *, is_over: bool) -> None:
        for one in sorted(self._accepted - tables.messages.keys()):
            self.find("lost", one)
        for row in tables.messages.values():
            until = row.deadline + GRACE
            is_forgotten = is_over and row.ended_at is None
            if is_forgotten or (row.ended_at or self._clock.now) > until:
                self.find("stuck", f"message {row.id}, {row.state}")

    def _close_record(
        self, tables: Tables, provider: ScriptedProvider, heard: Container[str | None]
    ) -> None:
        seen: set[str] = set()
        for one in provider.record:
            if one.client_ref in seen:
                self.find("second_sends", f"attempt {one.attempt_id} at {one.account}")
            seen.add(one.client_ref)
            if one.delivered_at is None or one.attempt_id in tables.charges:
                continue
            if one.provider_ref in heard and not is_unattributable(tables, provider, one):
                self.find("not_charged", f"attempt {one.attempt_id} at {one.account}")


def is_unattributable(tables: Tables, provider: ScriptedProvider, one: Taken) -> bool:
    """Whether no receipt of it can ever be matched: it names only a reference that we never had."""
    echoes = provider.capabilities.correlation is Correlation.CLIENT_REF
    return not echoes and (one.account, one.provider_ref) not in tables.refs
