"""PostgreSQL and the real services as a world."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, event, text

from cascade.channels.base import Receipt, Result
from cascade.domain.policy import Policy
from cascade.domain.state import AttemptState, MessageState
from cascade.services.deployment import Deployment
from cascade.services.flight import given_ttl
from cascade.services.poll import poll
from cascade.storage.claim import Claimed
from tests.rules.world import ASKABLE, Call, Died, Seen, SeenAttempt
from tests.services.courier import Courier, Desk, able
from tests.services.journey import ACCOUNTS, TTL_MINIMA, Journey


_EMPTY = """
    DELETE FROM cascade.events; DELETE FROM cascade.charges; DELETE FROM cascade.receipts;
    DELETE FROM cascade.provider_refs; DELETE FROM cascade.attempts; DELETE FROM cascade.messages;
    DELETE FROM cascade.idempotency_keys; UPDATE cascade.clock_offset SET offset_by = '0';
    UPDATE cascade.ticks SET ticked_at = 'epoch', resumed_at = 'epoch'
"""

_LOOK = text("""
    SELECT m.id AS message, m.state AS ends, m.success_met, m.deadline, m.ended_at AS end_at,
        a.client_ref, a.step, a.account, a.state, a.ended_at IS NULL AS is_live, a.due_at,
        (SELECT count(*) FROM cascade.charges c WHERE c.attempt_id = a.id) AS charges,
        ARRAY(SELECT CAST(r.status AS text) FROM cascade.receipts r
            WHERE r.attempt_id = a.id AND r.applied_at IS NOT NULL) AS facts
    FROM cascade.messages m JOIN cascade.attempts a ON a.message_id = m.id
    ORDER BY m.id, a.step
""")

_COURIERS = {
    account: Courier(
        url="",
        account=account,
        channel=channel,
        capabilities=able(ttl_minimum=TTL_MINIMA.get(channel, 0)),
    )
    for channel, account in ACCOUNTS.items()
}


class OnPostgreSQL:
    """A process that acts may die before any of its statements, and before its COMMIT."""

    def __init__(self, journey: Journey, asking: Deployment, desk: Desk) -> None:
        """`asking` can poll the account `ASKABLE`, at `desk`."""
        self._journey = journey
        self._asking = asking
        self._desk = desk
        self._left: int | None = None  # statements until the process that acts dies

    def start(self, policy: Policy) -> None:
        self._left = None
        self._asked_at: dict[str, dt.datetime] = {}
        self._journey.change(_EMPTY)
        self._journey.policy(*policy.steps)

    def submit(self, key: str, *, deadline: float, send_in: float | None) -> Hashable:
        if key not in self._asked_at:  # who asks again asks for the same
            self._asked_at[key] = self.now()
        now = self._asked_at[key]
        return self._journey.send(
            key=key,
            deadline=now + dt.timedelta(seconds=deadline),
            send_at=None if send_in is None else now + dt.timedelta(seconds=send_in),
        )

    def claim(self, message: Hashable) -> Call | None:
        assert isinstance(message, uuid.UUID)
        for claimed in self._journey.claim(message):
            courier = _COURIERS[claimed.account]
            return Call(
                message=message,
                ref=claimed.client_ref,
                account=claimed.account,
                ttl=given_ttl(courier, claimed) if courier.capabilities.ttl_minimum else 0,
                claimed=claimed,
            )
        return None

    def settle(self, call: Call, result: Result) -> None:
        assert isinstance(call.claimed, Claimed)
        self._journey.settle((call.claimed, result))

    def receive(self, account: str, *receipts: Receipt) -> None:
        self._journey.hear(account, *receipts)

    def collect(self) -> None:
        self._journey.collect()

    def poll(self, answer: AttemptState) -> Sequence[str]:
        self._desk.calls.clear()
        self._desk.says = lambda _line: answer.value
        poll(self._asking)
        return [line["ref"] for line in self._desk.lines]

    def tick(self) -> None:
        self._journey.tick(pollable=(ASKABLE,))

    def cancel(self, message: Hashable) -> bool:
        assert isinstance(message, uuid.UUID)
        return self._journey.cascade.cancel(message)

    def now(self) -> dt.datetime:
        now = self._journey.row("SELECT cascade.clock() AS now").now
        assert isinstance(now, dt.datetime)
        return now

    def wait(self, seconds: float) -> None:
        self._journey.advance(seconds)

    def die_after(self, statements: int) -> None:
        self._left = statements

    def revive(self) -> None:
        self._left = None

    def look(self) -> Mapping[Hashable, Seen]:
        with self._journey.engine.begin() as connection:
            rows = connection.execute(_LOOK).all()
        by_message: dict[uuid.UUID, list[Row[Any]]] = {}
        for row in rows:
            by_message.setdefault(row.message, []).append(row)
        return {message: _seen(of_it) for message, of_it in by_message.items()}

    @contextmanager
    def mortal(self) -> Iterator[None]:
        """Within, `die_after` takes effect."""
        engine = self._journey.engine
        event.listen(engine, "before_cursor_execute", self._count)
        event.listen(engine, "commit", self._count)
        yield
        event.remove(engine, "before_cursor_execute", self._count)
        event.remove(engine, "commit", self._count)

    def _count(self, _connection: Connection, *_rest: object) -> None:
        if self._left is None:
            return
        if self._left <= 0:
            raise Died
        self._left -= 1


def _seen(rows: Sequence[Row[Any]]) -> Seen:
    return Seen(
        state=MessageState(rows[0].ends),
        success_met=rows[0].success_met,
        deadline=rows[0].deadline,
        ended_at=rows[0].end_at,
        attempts=tuple(
            SeenAttempt(
                ref=row.client_ref,
                step=row.step,
                account=row.account,
                state=AttemptState(row.state),
                is_live=row.is_live,
                due_at=row.due_at,
                charges=row.charges,
                facts=frozenset(AttemptState(one) for one in row.facts),
            )
            for row in rows
        ),
    )
