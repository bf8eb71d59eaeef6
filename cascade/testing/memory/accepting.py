"""Accepting in memory: what `storage/submit.py` and `policies.py` do by SQL."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Iterable, Mapping, Sequence

from cascade.domain.cascade import Attempt
from cascade.domain.errors import ConfigurationError, InvalidInputError, shown
from cascade.domain.hint import Hint
from cascade.domain.policy import INLINE, ChannelFacts, Policy
from cascade.domain.state import AttemptState, Channel
from cascade.storage.policies import INLINE_MAXIMUM
from cascade.storage.submit import KEY_LIFETIME, KeyClaim, NewMessage
from cascade.testing.memory.operations import Operations
from cascade.testing.memory.rows import AttemptRow, KeyRow, MessageRow


class Accepting(Operations):
    """Policies, idempotency keys, new messages."""

    def newest_policy(self, name: str) -> tuple[int, Policy]:
        found = [one for one, policy in self.tables.policies.items() if policy.name == name]
        if not found:
            raise ConfigurationError(
                "policy", f"{shown(name)} is not in the store", "give it to the simulation"
            )
        return found[-1], self.tables.policies[found[-1]]

    def channel_facts(self) -> dict[Channel, ChannelFacts]:
        return dict(self.tables.channels)

    def keep_policy(self, policy: Policy) -> int:
        inline = 0
        for one, known in self.tables.policies.items():
            if known.name == policy.name:
                return one
            inline += known.name.startswith(INLINE)
        if inline >= INLINE_MAXIMUM:
            raise InvalidInputError(
                "policy", "too many lists of steps were written in Python", "use a named policy"
            )
        one = len(self.tables.policies) + 1
        self.tables.put(self.tables.policies, one, policy)
        return one

    def endpoint_names(self) -> frozenset[str]:
        """None: a simulation tells nobody over HTTP."""
        return frozenset()

    def claim_keys(self, claims: Sequence[KeyClaim]) -> None:
        now = self.now()
        for claim in claims:
            held = self.tables.keys.get((claim.sender, claim.key))
            if held is None or held.expires_at <= now:
                row = KeyRow(
                    request_hash=claim.request_hash,
                    message_id=claim.message_id,
                    expires_at=now + KEY_LIFETIME,
                )
                self.tables.put(self.tables.keys, (claim.sender, claim.key), row)

    def read_keys(
        self, keys: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[bytes, uuid.UUID]]:
        held = {key: self.tables.keys[key] for key in sorted(keys) if key in self.tables.keys}
        return {key: (row.request_hash, row.message_id) for key, row in held.items()}

    def insert_messages(self, messages: Sequence[NewMessage], now: dt.datetime) -> list[Hint]:
        fresh = [one for one in messages if one.id not in self.tables.messages]
        hints = []
        for one in fresh:
            row = MessageRow(
                id=one.id,
                policy_id=one.terms.policy_id,
                policy=self.tables.policies[one.terms.policy_id],
                lane=one.terms.lane,
                deadline=one.terms.deadline,
                created_at=now,
                recipient=one.recipient,
                recipient_hash=one.recipient_hash,
                content=one.content,
                segments=one.segments,
            )
            self.tables.put(self.tables.messages, one.id, row)
            hints += self.insert_attempt(one.id, one.terms.first, now)
        return hints

    def insert_attempt(self, message_id: uuid.UUID, new: Attempt, now: dt.datetime) -> list[Hint]:
        """Numbers and writes an attempt; the hint of one that is queued."""
        message = self.tables.messages[message_id]
        step = message.policy.steps[new.step]
        one = len(self.tables.attempts) + 1
        row = AttemptRow(
            id=one,
            message_id=message_id,
            step=new.step,
            channel=new.channel,
            account=new.account,
            state=new.state,
            lane=message.lane,
            ttl=step.ttl,
            ttl_minimum=step.ttl_minimum,
            due_at=new.due_at,
            expires_at=new.expires_at,
            client_ref=f"{one:032x}",
            created_at=now,
            error=new.error,
            ended_at=new.ended_at,
        )
        self.tables.put_attempt(row)
        self.tables.put(self.tables.by_client_ref, row.client_ref, one)
        grown = message._replace(attempt_ids=(*message.attempt_ids, one))
        self.tables.put(self.tables.messages, message_id, grown)
        if new.state is not AttemptState.QUEUED:
            return []
        return [Hint(new.channel, message.lane, one)]
