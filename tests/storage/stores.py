"""The two stores in one hand: PostgreSQL's and that in memory, both on a clock that stands still."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Engine, text

from cascade.channels.base import Capabilities, Receipt
from cascade.channels.threaded import ThreadedTransport
from cascade.domain.cascade import Cascade
from cascade.domain.hint import Hint
from cascade.domain.state import AttemptState
from cascade.services.deployment import LEASE, Deployment, Records
from cascade.services.inbox import new_receipts
from cascade.services.submission import Submission, check
from cascade.services.submit import submit
from cascade.storage.claim import Claimed
from cascade.storage.postgres import PostgresStore
from cascade.storage.sealing import Keyring
from cascade.storage.store import Store, T, Transaction
from cascade.testing import MemoryStore, VirtualClock
from cascade.testing.clock import START
from cascade.testing.configuration import configured
from tests.services.courier import Courier, able


CONFIG = Path(__file__).parents[2] / "config"
KEYRING = Keyring({"test": b"k" * 32}, b"h" * 32)
GIVEN = configured(CONFIG)
PHONE = "+79161234567"

_CLOCK = """
    CREATE OR REPLACE FUNCTION cascade.clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
        SELECT {moment} + (SELECT offset_by FROM cascade.clock_offset)
    $$
"""


def stop_clock(engine: Engine) -> None:
    _start_from(engine, f"timestamptz '{START.isoformat()}'")


def start_clock(engine: Engine) -> None:
    _start_from(engine, "clock_timestamp()")


def _start_from(engine: Engine, moment: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(_CLOCK.format(moment=moment)))


class Bench:
    """A store with what a test does to it. Attempts are named by (message, step)."""

    def __init__(
        self,
        store: Store,
        advance: Callable[[float], None],
        charges: Callable[[], dict[int, Decimal | None]],
    ) -> None:
        self.store = store
        self.advance = advance
        self.charges_by_id = charges
        self.messages: list[uuid.UUID] = []
        self.claimed: dict[tuple[int, int], Claimed] = {}  # the newest claims
        self.hints: list[Hint] = []
        self.records = Records(
            store=store, keyring=KEYRING, publish=self._publish, monotonic=lambda: 0.0
        )
        self.deployment = Deployment(
            ledger=self.records,
            adapters={
                account: Courier(
                    url="", account=account, channel=channel, capabilities=_able(facts)
                )
                for account, (channel, facts) in GIVEN.capabilities.items()
            },
            transport=ThreadedTransport(flight=1),
            poll_transport=ThreadedTransport(flight=1),
            jitter=lambda: 0.5,
        )

    def _publish(self, hints: Iterable[Hint]) -> int:
        self.hints += hints
        return 0

    def do(self, work: Callable[[Transaction], T]) -> T:
        return self.store.transaction(work)

    def send(self, **words: object) -> int:
        """The message's place."""
        place = len(self.messages)
        message_id = uuid.UUID(int=(7 << 76) | (2 << 62) | place)
        asked = Submission(to=PHONE, text="Собран", message_id=message_id, **words)  # type: ignore[arg-type]  # its words
        [result] = submit(self.records, [check(asked)])
        assert isinstance(result, uuid.UUID), result
        self.messages.append(message_id)
        return place

    def cascades(self) -> list[Cascade]:
        found = self.do(lambda t: t.lock(self.messages))
        return [found[one] for one in self.messages]

    def attempt_id(self, name: tuple[int, int]) -> int:
        place, step = name
        attempt_id = self.cascades()[place].attempts[step].id
        assert attempt_id is not None
        return attempt_id

    def state(self, name: tuple[int, int]) -> AttemptState:
        place, step = name
        return self.cascades()[place].attempts[step].state

    def names(self) -> dict[int, tuple[int, int]]:
        """The attempts by their ids."""
        return {
            attempt.id: (place, attempt.step)
            for place, cascade in enumerate(self.cascades())
            for attempt in cascade.attempts
            if attempt.id is not None
        }

    def claim(self, *names: tuple[int, int]) -> list[tuple[int, int]]:
        """Those of `names` that it got."""
        ids = [self.attempt_id(name) for name in names]
        by_id = self.names()
        claimed = self.do(lambda t: t.claim(ids, lease=LEASE))
        self.claimed |= {by_id[one.attempt_id]: one for one in claimed}
        return sorted(by_id[one.attempt_id] for one in claimed)

    def hear(self, name: tuple[int, int], status: AttemptState, **refs: str | None) -> int:
        """How many receipts were new."""
        one = self.claimed[name]
        receipt = Receipt(
            status=status,
            native_status=status.value,
            client_ref=refs.get("client_ref", one.client_ref),
            provider_ref=refs.get("provider_ref"),
        )
        new = new_receipts(KEYRING, one.account, [receipt], b"{}")
        return self.do(lambda t: t.store_receipts(new))

    def charges(self) -> dict[tuple[int, int], Decimal | None]:
        by_id = self.names()
        return {by_id[one]: amount for one, amount in self.charges_by_id().items()}


def on_postgres(engine: Engine) -> Bench:
    """Its tables hold the policies and rates of `config/`; its clock is stopped."""

    def advance(seconds: float) -> None:
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE cascade.clock_offset SET offset_by = offset_by + :pause"),
                {"pause": dt.timedelta(seconds=seconds)},
            )

    def charges() -> dict[int, Decimal | None]:
        with engine.begin() as connection:
            rows = connection.execute(text("SELECT attempt_id, amount FROM cascade.charges"))
            return {row.attempt_id: row.amount for row in rows}

    return Bench(PostgresStore(engine), advance, charges)


def in_memory() -> Bench:
    clock = VirtualClock()
    store = MemoryStore(clock, policies=GIVEN.policies, channels=GIVEN.channels, rates=GIVEN.rates)

    def charges() -> dict[int, Decimal | None]:
        booked = store.tables.charges.items()
        return {one: None if c.amount is None else c.amount.value for one, c in booked}

    return Bench(store, clock.advance, charges)


def pollable() -> frozenset[str]:
    return frozenset(account for account, (_, able) in GIVEN.capabilities.items() if able.poll)


def _able(facts: Capabilities) -> Capabilities:
    return able(ttl_minimum=facts.ttl_minimum)
