"""The pure engine as a world: messages in memory, and an inbox."""

from __future__ import annotations

import datetime as dt

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import TypeVar, assert_never

from cascade.channels.base import (
    Accepted,
    Receipt,
    Rejected,
    Result,
    Throttled,
    Unavailable,
    Undeliverable,
    Unknown,
    Unsupported,
)
from cascade.domain import engine
from cascade.domain.cascade import Attempt, Cascade
from cascade.domain.engine import Word
from cascade.domain.policy import Policy
from cascade.domain.state import AttemptState
from tests.domain.building import NOW
from tests.domain.one_message import Call as Claimed, OneMessage
from tests.rules.world import ASKABLE, Call, Died, Seen, SeenAttempt


T = TypeVar("T")


class OnTheEngine:
    """Each act is one transaction: a process that dies before its commit has done nothing."""

    def start(self, policy: Policy) -> None:
        self._policy = policy
        self._now = NOW
        self._messages: dict[Hashable, OneMessage] = {}
        self._places: dict[str, tuple[Hashable, int]] = {}  # attempts by our references
        self._theirs: dict[tuple[str, str], str] = {}  # our references by (account, theirs)
        self._inbox: list[tuple[str, Receipt]] = []
        self._facts: dict[str, set[AttemptState]] = defaultdict(set)
        self._charges: Counter[str] = Counter()
        self._refs = count(1)
        self._dies = False

    def submit(self, key: str, *, deadline: float, send_in: float | None) -> Hashable:
        def work() -> None:
            if key not in self._messages:
                message = OneMessage(
                    self._policy, deadline=deadline, send_in=send_in, now=self._now
                )
                self._messages[key] = message
                self._name_attempts(key)

        self._act(work)
        return key

    def claim(self, message: Hashable) -> Call | None:
        claimed = self._act(lambda: self._claim(message))
        if claimed is None:
            return None
        attempt = self._messages[message].attempt(claimed.attempt_id)
        return Call(
            message=message,
            ref=self._ref(message, claimed.attempt_id),
            account=attempt.account,
            ttl=claimed.ttl,
            claimed=claimed,
        )

    def _claim(self, message: Hashable) -> Claimed | None:
        one = self._on(message)
        return one.claim(len(one.cascade.attempts))

    def settle(self, call: Call, result: Result) -> None:
        self._act(lambda: self._settle(call, result))

    def _settle(self, call: Call, result: Result) -> None:
        one, claimed = self._on(call.message), call.claimed
        assert isinstance(claimed, Claimed)
        match result:
            case Accepted(refs):
                one.accept(claimed)
                self._theirs |= {(call.account, ref): call.ref for ref in refs}
            case Unknown():
                one.lose(claimed)
            case Throttled() | Unavailable():
                one.refuse(claimed)
            case Unsupported():
                self._hear(call.message, [(claimed.attempt_id, AttemptState.UNSUPPORTED)])
            case Rejected():
                self._hear(call.message, [(claimed.attempt_id, AttemptState.REJECTED)])
            case Undeliverable():
                self._hear(call.message, [(claimed.attempt_id, AttemptState.UNDELIVERABLE)])
            case _:
                assert_never(result)

    def receive(self, account: str, *receipts: Receipt) -> None:
        self._act(lambda: self._inbox.extend((account, one) for one in receipts))

    def collect(self) -> None:
        self._act(self._collect)

    def _collect(self) -> None:
        heard: dict[Hashable, list[tuple[int, AttemptState]]] = defaultdict(list)
        waiting = []
        for account, receipt in self._inbox:
            ref = self._named(account, receipt)
            if ref is None:
                waiting.append((account, receipt))
                continue
            message, attempt_id = self._places[ref]
            heard[message].append((attempt_id, receipt.status))
            self._facts[ref].add(receipt.status)
        self._inbox = waiting
        for message, words in heard.items():
            self._hear(message, words)

    def poll(self, answer: AttemptState) -> Sequence[str]:
        asked = [
            ref
            for ref, (message, attempt_id) in self._places.items()
            if _is_asked_about(self._on(message).attempt(attempt_id), self._now)
        ]
        answers = [
            Receipt(status=answer, native_status=answer.value, client_ref=ref) for ref in asked
        ]
        self.receive(ASKABLE, *answers)
        return asked

    def tick(self) -> None:
        self._act(self._tick)

    def _tick(self) -> None:
        named = (self._named(account, receipt) for account, receipt in self._inbox)
        awaiting = {self._places[ref][0] for ref in named if ref is not None}
        for message in self._messages:
            self._change(message, partial(OneMessage.tick, is_awaited=message in awaiting))

    def cancel(self, message: Hashable) -> bool:
        was_over = self._on(message).cascade.ended_at is not None
        self._act(lambda: self._change(message, OneMessage.cancel))
        return not was_over

    def now(self) -> dt.datetime:
        return self._now

    def wait(self, seconds: float) -> None:
        self._now += dt.timedelta(seconds=seconds)

    def die_after(self, statements: int) -> None:
        self._dies = statements == 0

    def revive(self) -> None:
        self._dies = False

    def look(self) -> Mapping[Hashable, Seen]:
        return {name: self._seen(name, one.cascade) for name, one in self._messages.items()}

    def _seen(self, name: Hashable, cascade: Cascade) -> Seen:
        return Seen(
            state=cascade.state,
            success_met=cascade.success_met,
            deadline=cascade.deadline,
            ended_at=cascade.ended_at,
            attempts=tuple(self._seen_attempt(name, one) for one in cascade.attempts),
        )

    def _seen_attempt(self, name: Hashable, attempt: Attempt) -> SeenAttempt:
        ref = self._ref(name, attempt.step + 1)
        return SeenAttempt(
            ref=ref,
            step=attempt.step,
            account=attempt.account,
            state=attempt.state,
            is_live=attempt.is_live,
            due_at=attempt.due_at,
            charges=self._charges[ref],
            facts=frozenset(self._facts[ref]),
        )

    def _act(self, work: Callable[[], T]) -> T:
        if self._dies:
            raise Died
        return work()

    def _on(self, message: Hashable) -> OneMessage:
        """The message, at this world's time."""
        one = self._messages[message]
        one.now = self._now
        return one

    def _hear(self, message: Hashable, words: Iterable[tuple[int, AttemptState]]) -> None:
        events = [
            partial(_heard, word=Word(attempt_id=attempt_id, state=state))
            for attempt_id, state in words
        ]
        self._change(message, lambda one: one.happen(*events))

    def _change(self, message: Hashable, work: Callable[[OneMessage], None]) -> None:
        """What the charging service does: a charge where an attempt has become delivered."""
        one = self._on(message)
        before = {attempt.step for attempt in one.cascade.attempts if attempt.is_delivered}
        work(one)
        self._name_attempts(message)
        after = {attempt.step for attempt in one.cascade.attempts if attempt.is_delivered}
        self._charges.update(self._ref(message, step + 1) for step in after - before)

    def _name_attempts(self, message: Hashable) -> None:
        for attempt in self._messages[message].cascade.attempts:
            place = (message, attempt.step + 1)
            if place not in self._places.values():
                self._places[f"c{next(self._refs)}"] = place

    def _ref(self, message: Hashable, attempt_id: int) -> str:
        return next(ref for ref, place in self._places.items() if place == (message, attempt_id))

    def _named(self, account: str, receipt: Receipt) -> str | None:
        if receipt.client_ref is not None:
            return receipt.client_ref
        return self._theirs.get((account, receipt.provider_ref or ""))


def _heard(cascade: Cascade, now: dt.datetime, *, word: Word) -> Cascade:
    return engine.hear(cascade, word, now)


def _is_asked_about(attempt: Attempt, now: dt.datetime) -> bool:
    is_waited_for = attempt.state in {AttemptState.UNKNOWN, AttemptState.SENT}
    return attempt.account == ASKABLE and is_waited_for and attempt.expires_at <= now
