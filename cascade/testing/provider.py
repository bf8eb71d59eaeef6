"""Providers of a script: they take what they are given, answer, and send receipts in their time."""

from __future__ import annotations

import datetime as dt
import functools
import itertools

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cascade.channels.base import (
    Accepted,
    Ack,
    Capabilities,
    Correlation,
    HttpRequest,
    HttpResponse,
    Item,
    Pending,
    Receipt,
    Result,
    T,
    Throttled,
    Webhook,
)
from cascade.channels.exchange import Ambiguous, Outcome
from cascade.domain.state import AttemptState, Channel
from cascade.testing.reaction import Reaction
from cascade.testing.scheduler import Scheduler


@dataclass(slots=True, kw_only=True)
class Taken:
    """A line of a provider's own record: what it accepted, and what became of it there."""

    account: str
    channel: Channel
    attempt_id: int
    client_ref: str
    provider_ref: str
    taken_at: dt.datetime
    state: AttemptState = AttemptState.SENT
    delivered_at: dt.datetime | None = None


Script = Callable[[str, Channel], Reaction]
"""What happens to a message to this phone (E.164) on this channel."""

Tell = Callable[[str, Receipt], None]
"""Sends a webhook of this account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedProvider:
    """One account; the wire is left out. `record` is its own book of what it took."""

    account: str
    channel: Channel
    capabilities: Capabilities
    scheduler: Scheduler = field(repr=False)
    script: Script = field(repr=False)
    tell: Tell = field(repr=False)
    record: list[Taken] = field(default_factory=list, repr=False)
    allowed_ips: frozenset[str] = frozenset()
    token_digests: frozenset[bytes] = frozenset()
    webhook_token: str | None = None
    _by_ref: dict[str, Taken] = field(default_factory=dict, repr=False)
    _calls: dict[str, int] = field(default_factory=dict, repr=False)  # by our reference
    _answers: dict[str, Sequence[Any]] = field(default_factory=dict, repr=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def requests_for(self, items: Sequence[Item]) -> list[HttpRequest[Item]]:
        return self._requests(items)

    def results_of(
        self,
        request: HttpRequest[Item],  # noqa: ARG002  # the contract
        response: HttpResponse,
    ) -> list[Result]:
        return list(self._answers.pop(response.headers["answer"]))

    def poll_requests_for(self, pending: Sequence[Pending]) -> list[HttpRequest[Pending]]:
        return self._requests([one for one in pending if self._ref_of(one) is not None])

    def receipts_of(
        self,
        request: HttpRequest[Pending],  # noqa: ARG002  # the contract
        response: HttpResponse,
    ) -> list[Receipt]:
        return list(self._answers.pop(response.headers["answer"]))

    def verify(self, webhook: Webhook) -> None:
        """Nobody forges here."""

    def parse(self, webhook: Webhook) -> Sequence[Receipt]:  # noqa: ARG002  # the contract
        return []

    def ack(self) -> Ack:
        return Ack()

    def handshake(self, query: Mapping[str, str]) -> str | None:  # noqa: ARG002  # the contract
        return None

    def take(self, request: HttpRequest[Item], *, is_answered: bool) -> Outcome:
        """The request has arrived; without an answer nobody learns the provider's references."""
        answers = [self._take(item) for item in request.items]
        if not is_answered or None in answers:
            return Ambiguous("deadline")
        return self._answer(answers)

    def throttle(self, request: HttpRequest[Item]) -> Outcome:
        """Too many requests: it takes nothing of this one."""
        return self._answer([Throttled("busy", None)] * len(request.items))

    def look_up(self, request: HttpRequest[Pending]) -> Outcome:
        """What is known of the messages of a question."""
        found = (self._by_ref.get(self._ref_of(one) or "") for one in request.items)
        return self._answer([self._receipt(one) for one in found if one is not None])

    def _requests(self, items: Sequence[T]) -> list[HttpRequest[T]]:
        bulk = self.capabilities.bulk
        return [
            HttpRequest(method="POST", url="", headers={}, items=tuple(items[at : at + bulk]))
            for at in range(0, len(items), bulk)
        ]

    def _answer(self, answers: Sequence[object]) -> HttpResponse:
        ref = str(next(self._numbers))
        self._answers[ref] = answers
        return HttpResponse(status=200, headers={"answer": ref}, body=b"{}")

    def _take(self, item: Item) -> Result | None:
        reaction = self.script(item.phone, self.channel)
        calls = self._calls[item.client_ref] = self._calls.get(item.client_ref, 0) + 1
        if calls <= len(reaction.before):
            return reaction.before[calls - 1]
        if not reaction.is_taken:
            return reaction.answer
        ref = f"{self.account}-{len(self.record) + 1}"
        taken = Taken(
            account=self.account,
            channel=self.channel,
            attempt_id=item.attempt_id,
            client_ref=item.client_ref,
            provider_ref=ref,
            taken_at=self.scheduler.clock.now,
        )
        self.record.append(taken)
        self._by_ref[self._own_ref(taken)] = taken
        self._plan(taken, reaction, item.ttl)
        return Accepted((ref,)) if isinstance(reaction.answer, Accepted) else reaction.answer

    def _plan(self, taken: Taken, reaction: Reaction, ttl: int) -> None:
        """Its receipts; what would be delivered after the TTL, if it keeps one, expires there."""
        keeps_ttl = self.capabilities.ttl_minimum > 0 and not self.capabilities.late_delivery
        for after, state in reaction.receipts:
            if keeps_ttl and after > ttl and state is AttemptState.DELIVERED:
                self.scheduler.after(
                    ttl, functools.partial(self._happen, taken, AttemptState.EXPIRED)
                )
                return
            if state is AttemptState.READ and not self.capabilities.read_receipts:
                continue
            self.scheduler.after(after, functools.partial(self._happen, taken, state))

    def _happen(self, taken: Taken, state: AttemptState) -> None:
        taken.state = state
        if state.rank >= AttemptState.DELIVERED.rank and taken.delivered_at is None:
            taken.delivered_at = self.scheduler.clock.now
        self.tell(self.account, self._receipt(taken))

    def _receipt(self, taken: Taken) -> Receipt:
        echoes = self.capabilities.correlation is Correlation.CLIENT_REF
        return Receipt(
            status=taken.state,
            native_status=taken.state.value,
            client_ref=taken.client_ref if echoes else None,
            provider_ref=taken.provider_ref,
        )

    def _own_ref(self, taken: Taken) -> str:
        echoes = self.capabilities.correlation is Correlation.CLIENT_REF
        return taken.client_ref if echoes else taken.provider_ref

    def _ref_of(self, pending: Pending) -> str | None:
        echoes = self.capabilities.correlation is Correlation.CLIENT_REF
        return pending.client_ref if echoes else pending.provider_ref
