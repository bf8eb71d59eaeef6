"""One message in memory: the engine, and the steps that storage takes on the rows around it.

`claim`, `accept`, `lose`, `refuse` and `tick` do to states and times what the statements of
`cascade.storage.claim`, `settle` and `sweep` do.
"""

from __future__ import annotations

import datetime as dt

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cascade.domain import engine
from cascade.domain.cascade import Attempt, Cascade
from cascade.domain.engine import RECEIPT_GRACE, Word
from cascade.domain.policy import Policy
from cascade.domain.state import UNSENT, AttemptState, Lane, MessageState
from tests.domain.building import NOW, a_cascade, a_policy
from tests.domain.laws import check_change, check_message


LEASE = dt.timedelta(seconds=9)

_WAITING = frozenset({AttemptState.UNKNOWN, AttemptState.SENT, AttemptState.DELIVERED})


@dataclass(frozen=True, slots=True)
class Call:
    """A claimed attempt at its provider: the fence, and the seconds it was given (0 for none)."""

    attempt_id: int
    tries: int
    ttl: int


class OneMessage:
    """Attempts are named by their id, which is the number of their step, from 1."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        deadline: float = 3600,
        send_in: float | None = None,
        now: dt.datetime = NOW,
    ) -> None:
        """`deadline` and `send_in` in seconds from `now`."""
        self.now = now
        self._tries: Counter[int] = Counter()
        self._hints: Counter[int] = Counter()
        self._leases: dict[int, dt.datetime] = {}
        policy = policy or a_policy()
        end = now + dt.timedelta(seconds=deadline)
        first = engine.first_attempt(
            policy,
            lane=Lane.NORMAL,
            deadline=end,
            send_at=None if send_in is None else now + dt.timedelta(seconds=send_in),
            now=now,
        )
        message = a_cascade(first._replace(id=1), policy=policy)
        self.cascade = message._replace(deadline=end)
        check_message(self.cascade)

    @property
    def state(self) -> MessageState:
        return self.cascade.state

    @property
    def states(self) -> list[str]:
        """Of the attempts, in the order of the steps."""
        return [attempt.state.value for attempt in self.cascade.attempts]

    def attempt(self, attempt_id: int) -> Attempt:
        return self.cascade.attempt(attempt_id)

    def adopt(self, other: OneMessage) -> None:
        """The leases and counts of another one, whose attempts this message has."""
        self._tries, self._hints = Counter(other._tries), Counter(other._hints)
        self._leases = dict(other._leases)

    def wait(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)

    def hear(self, attempt_id: int, state: AttemptState, code: str | None = None) -> None:
        word = Word(attempt_id=attempt_id, state=state, code=code)
        self.happen(lambda cascade, now: engine.hear(cascade, word, now))

    def expire(self, attempt_id: int) -> None:
        self.happen(lambda cascade, now: engine.expire(cascade, attempt_id, now))

    def cancel(self) -> None:
        self.happen(engine.cancel)

    def happen(self, *events: Callable[[Cascade, dt.datetime], Cascade]) -> None:
        """Events in one transaction: what one opens has no id yet when the next one comes."""
        for event in events:
            self._put(event(self.cascade, self.now))
        attempts = tuple(a._replace(id=a.step + 1) for a in self.cascade.attempts)
        self.cascade = self.cascade._replace(attempts=attempts)

    def claim(self, attempt_id: int) -> Call | None:
        attempt = self.attempt(attempt_id)
        step = self.cascade.step_of(attempt)
        shortest = dt.timedelta(seconds=max(step.ttl_minimum, 1))
        may_be_sent = (
            self.state is MessageState.IN_PROGRESS
            and attempt.state is AttemptState.QUEUED
            and attempt.expires_at > self.now
            and self.cascade.deadline >= self.now + shortest
        )
        if not may_be_sent:
            return None
        expires_at = attempt.expires_at
        if attempt.started_at is None:
            ttl_end = self.now + dt.timedelta(seconds=step.ttl)
            expires_at = min(ttl_end, self.cascade.deadline)
        elif step.ttl_minimum:
            expires_at = max(expires_at, self.now + shortest)
        self._tries[attempt_id] += 1
        self._hints[attempt_id] = 0
        self._leases[attempt_id] = self.now + LEASE
        self._change(
            attempt_id,
            state=AttemptState.SENDING,
            started_at=attempt.started_at or self.now,
            expires_at=expires_at,
            due_at=self.now + LEASE,
        )
        left = int((expires_at - self.now).total_seconds())
        ttl = max(left, step.ttl_minimum, 1) if step.ttl_minimum else 0
        return Call(attempt_id, self._tries[attempt_id], ttl)

    def accept(self, call: Call) -> None:
        """The provider took it: a fact, whoever brings it."""
        attempt = self.attempt(call.attempt_id)
        state = max(attempt.state, AttemptState.SENT, key=lambda state: state.rank)
        self._answered(call, state)
        self._change(call.attempt_id, sent_at=attempt.sent_at or self.now)

    def lose(self, call: Call) -> None:
        """Nobody knows whether the provider took it."""
        attempt = self.attempt(call.attempt_id)
        is_called = attempt.state.rank >= AttemptState.SENDING.rank
        if self._tries[call.attempt_id] == call.tries and is_called:
            state = max(attempt.state, AttemptState.UNKNOWN, key=lambda state: state.rank)
            self._answered(call, state)

    def refuse(self, call: Call, *, pause: float = 1, code: str = "throttled") -> None:
        """The provider provably did not take it: to be tried again after `pause` seconds."""
        attempt = self.attempt(call.attempt_id)
        is_its_call = self._tries[call.attempt_id] == call.tries
        if is_its_call and attempt.is_live and attempt.state is AttemptState.SENDING:
            again_at = min(self.now + dt.timedelta(seconds=pause), attempt.expires_at)
            del self._leases[call.attempt_id]
            self._change(call.attempt_id, state=AttemptState.RETRY, error=code, due_at=again_at)

    def tick(self, *, is_awaited: bool = False) -> None:
        """Hints again, retries, broken leases; expiries, unless receipts wait in the inbox."""
        for attempt in self._due():
            attempt_id = attempt.step + 1
            is_over = self.state is not MessageState.IN_PROGRESS
            if attempt.state in UNSENT and attempt.expires_at > self.now and not is_over:
                self._requeue(attempt_id)
            elif self._lease_is_over(attempt_id):
                self._break_lease(attempt_id)
        for attempt in self._due():
            is_called = attempt.step + 1 in self._leases
            if attempt.state in UNSENT | _WAITING and not is_awaited and not is_called:
                self.expire(attempt.step + 1)

    def tick_until_all_is_over(self) -> None:
        """Nobody claims, answers or says anything any more."""
        for _ in range(200):
            due = [a.due_at for a in self.cascade.attempts if a.due_at is not None]
            if not due:
                return
            self.now = max(self.now, *due)
            self.tick()
        raise AssertionError("something stays live for ever")

    def _due(self) -> Iterator[Attempt]:
        for attempt in self.cascade.attempts:
            if attempt.due_at is not None and attempt.due_at <= self.now:
                yield attempt

    def _lease_is_over(self, attempt_id: int) -> bool:
        return attempt_id in self._leases and self._leases[attempt_id] <= self.now

    def _requeue(self, attempt_id: int) -> None:
        attempt = self.attempt(attempt_id)
        patience = dt.timedelta(seconds=min(300, 8 * 2 ** min(self._hints[attempt_id], 10)))
        self._hints[attempt_id] += 1
        due_at = min(attempt.expires_at, self.now + patience)
        self._change(attempt_id, state=AttemptState.QUEUED, due_at=due_at)

    def _break_lease(self, attempt_id: int) -> None:
        attempt = self.attempt(attempt_id)
        shortest = self.cascade.step_of(attempt).ttl_minimum
        until = attempt.expires_at
        if shortest:
            at_least = self._leases[attempt_id] + dt.timedelta(seconds=shortest)
            until = max(until + LEASE, at_least)
        del self._leases[attempt_id]
        self._change(
            attempt_id,
            state=max(attempt.state, AttemptState.UNKNOWN, key=lambda state: state.rank),
            expires_at=until,
            due_at=until + RECEIPT_GRACE,
        )

    def _answered(self, call: Call, state: AttemptState) -> None:
        attempt = self.attempt(call.attempt_id)
        until = max(attempt.expires_at, self.now + dt.timedelta(seconds=call.ttl))
        due_at = until + RECEIPT_GRACE if attempt.is_live else None
        self._leases.pop(call.attempt_id, None)
        self._change(call.attempt_id, state=state, expires_at=until, due_at=due_at)

    def _change(self, attempt_id: int, **fields: object) -> None:
        changed = self.attempt(attempt_id)._replace(**fields)  # type: ignore[arg-type]  # its own
        self._put(self.cascade.with_attempt(changed))

    def _put(self, after: Cascade) -> None:
        check_message(after)
        check_change(self.cascade, after, self.now)
        self.cascade = after
