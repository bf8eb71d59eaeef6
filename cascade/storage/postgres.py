"""The store of production: each operation is the SQL of its module, on this transaction."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from cascade.domain.cascade import Cascade
from cascade.domain.engine import Word
from cascade.domain.hint import Hint
from cascade.domain.money import RateBook
from cascade.domain.policy import ChannelFacts, Policy
from cascade.domain.state import Channel, Lane
from cascade.storage import (
    cascades,
    charges as charging,
    claim as claiming,
    conclude as concluding,
    endpoints,
    fall_back as falling_back,
    inbox,
    policies,
    polling,
    queueing,
    settle,
    submit,
    sweep,
)
from cascade.storage.charges import Charge, Delivered, Rates
from cascade.storage.claim import Claimed
from cascade.storage.database import now, transaction
from cascade.storage.fall_back import FellBack
from cascade.storage.inbox import NewReceipt, Unapplied
from cascade.storage.policies import PolicyVersions
from cascade.storage.polling import Unanswered
from cascade.storage.queueing import Queued
from cascade.storage.settle import Taken, Unclear, Unsent
from cascade.storage.store import T, Transaction
from cascade.storage.submit import KeyClaim, NewMessage


@dataclass(frozen=True, slots=True)
class PostgresTransaction:
    """`Transaction` on a connection that is in one."""

    connection: Connection
    versions: PolicyVersions
    rates: Rates

    def now(self) -> dt.datetime:
        return now(self.connection)

    def newest_policy(self, name: str) -> tuple[int, Policy]:
        return policies.newest(self.connection, name)

    def channel_facts(self) -> dict[Channel, ChannelFacts]:
        return policies.channel_facts(self.connection)

    def keep_policy(self, policy: Policy) -> int:
        return policies.keep(self.connection, policy)

    def endpoint_names(self) -> frozenset[str]:
        return endpoints.endpoint_names(self.connection)

    def claim_keys(self, claims: Sequence[KeyClaim]) -> None:
        submit.claim_keys(self.connection, claims)

    def read_keys(
        self, keys: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[bytes, uuid.UUID]]:
        return submit.read_keys(self.connection, keys)

    def insert_messages(self, messages: Sequence[NewMessage], now: dt.datetime) -> list[Hint]:
        return submit.insert_messages(self.connection, messages, now)

    def queued(self, attempt_ids: Iterable[int]) -> list[Queued]:
        return queueing.queued(self.connection, attempt_ids)

    def put_off(self, waits: Mapping[int, float]) -> None:
        queueing.put_off(self.connection, waits)

    def give_up(self, attempt_ids: Iterable[int]) -> Mapping[int, uuid.UUID]:
        return queueing.give_up(self.connection, attempt_ids)

    def claim(self, attempt_ids: Iterable[int], *, lease: float) -> list[Claimed]:
        return claiming.claim(self.connection, attempt_ids, lease=lease)

    def settle_taken(self, taken: Sequence[Taken], grace: dt.timedelta) -> None:
        settle.settle_taken(self.connection, taken, grace)

    def settle_unclear(self, unclear: Sequence[Unclear], grace: dt.timedelta) -> None:
        settle.settle_unclear(self.connection, unclear, grace)

    def settle_unsent(self, unsent: Sequence[Unsent]) -> int:
        return settle.settle_unsent(self.connection, unsent)

    def lock(
        self, message_ids: Iterable[uuid.UUID], *, skip_locked: bool = False
    ) -> dict[uuid.UUID, Cascade]:
        return cascades.lock(self.connection, message_ids, self.versions, skip_locked=skip_locked)

    def conclude(
        self, delivered: Mapping[int, str], message_ids: Collection[str]
    ) -> list[Delivered]:
        return concluding.conclude(self.connection, delivered, message_ids, self.versions)

    def fall_back(self, refused: Mapping[str, Word]) -> FellBack:
        return falling_back.fall_back(self.connection, refused, self.versions)

    def write(
        self,
        before: Mapping[uuid.UUID, Cascade],
        after: Mapping[uuid.UUID, Cascade],
        now: dt.datetime,
    ) -> list[Hint]:
        return cascades.write(self.connection, before, after, now)

    def rate_book(self) -> RateBook:
        return self.rates.book(self.connection)

    def delivered(self, attempt_ids: Iterable[int]) -> list[Delivered]:
        return charging.delivered(self.connection, attempt_ids, self.versions)

    def contents(self, message_ids: Iterable[str]) -> dict[str, bytes]:
        return charging.contents(self.connection, message_ids)

    def book(self, charges: Sequence[Charge]) -> None:
        charging.book(self.connection, charges)

    def defer_message(self, message_id: uuid.UUID) -> None:
        sweep.defer(self.connection, message_id)

    def begin(self, name: str, pause: dt.timedelta) -> bool:
        return sweep.begin(self.connection, name, pause)

    def finish(self, name: str, pause: dt.timedelta) -> None:
        sweep.finish(self.connection, name, pause)

    def due_lanes(self) -> list[Lane]:
        return sweep.due_lanes(self.connection)

    def requeue(self, lane: Lane, quota: int) -> list[Hint]:
        return sweep.requeue(self.connection, lane, quota)

    def postpone(self, lane: Lane, quota: int) -> int:
        return sweep.postpone(self.connection, lane, quota)

    def break_leases(
        self, lane: Lane, quota: int, *, lease: dt.timedelta, grace: dt.timedelta
    ) -> int:
        return sweep.break_leases(self.connection, lane, quota, lease=lease, grace=grace)

    def expired(
        self, lane: Lane, quota: int, *, pollable: Collection[str]
    ) -> Mapping[int, uuid.UUID]:
        return sweep.expired(self.connection, lane, quota, pollable=pollable)

    def awaiting(self, message_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        return sweep.awaiting(self.connection, message_ids)

    def store_receipts(self, receipts: Sequence[NewReceipt]) -> int:
        return inbox.store(self.connection, receipts)

    def take_receipts(self, quota: int) -> list[int]:
        return inbox.take(self.connection, quota)

    def match_receipts(self, receipt_ids: Iterable[int]) -> list[Unapplied]:
        return inbox.match(self.connection, receipt_ids)

    def mark_applied(self, attempts: Mapping[int, int]) -> None:
        inbox.mark_applied(self.connection, attempts)

    def defer_receipts(self, receipt_ids: Iterable[int]) -> int:
        return inbox.defer(self.connection, receipt_ids)

    def unanswered(
        self, accounts: Collection[str], *, quota: int, grace: dt.timedelta
    ) -> list[Unanswered]:
        return polling.unanswered(self.connection, accounts, quota=quota, grace=grace)

    def unconfirmed(self, accounts: Collection[str], *, quota: int) -> list[Unanswered]:
        return polling.unconfirmed(self.connection, accounts, quota=quota)

    def mark_polled(self, attempt_ids: Iterable[int]) -> None:
        polling.mark_polled(self.connection, attempt_ids)


@dataclass(frozen=True, slots=True)
class PostgresStore:
    """`Store` on a database; the policies and rates that it has read are kept."""

    engine: Engine
    versions: PolicyVersions = field(default_factory=PolicyVersions)
    rates: Rates = field(default_factory=Rates)

    def on(self, connection: Connection) -> PostgresTransaction:
        """The operations on a transaction that somebody else has begun."""
        return PostgresTransaction(connection, self.versions, self.rates)

    def transaction(self, work: Callable[[Transaction], T], *, patience: float | None = None) -> T:
        """Runs `work` as `storage.database.transaction` does."""
        return transaction(
            self.engine, lambda connection: work(self.on(connection)), patience=patience
        )
