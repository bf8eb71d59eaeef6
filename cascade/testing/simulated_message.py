"""One message of a simulation, and what a test may say of it."""

from __future__ import annotations

import uuid

from decimal import Decimal

from cascade.domain.cascade import Attempt
from cascade.domain.state import Channel, MessageState
from cascade.testing.memory.rows import MessageRow
from cascade.testing.memory.tables import Tables


class SimulatedMessage:
    """Reads what became of a message; the assertions raise AssertionError with its whole story."""

    def __init__(self, tables: Tables, message_id: uuid.UUID) -> None:
        self._tables = tables
        self.id = message_id

    @property
    def state(self) -> MessageState:
        return self._row.state

    @property
    def attempts(self) -> list[Attempt]:
        """In the order of the steps."""
        return [self._tables.attempts[one].attempt() for one in self._row.attempt_ids]

    @property
    def channels(self) -> list[Channel]:
        """Those that were called, in order."""
        return [one.channel for one in self.attempts if one.started_at is not None]

    @property
    def delivered_by(self) -> Channel | None:
        """The channel that reached the person first."""
        found = [one for one in self.attempts if one.delivered_at is not None]
        first = min(found, key=lambda one: str(one.delivered_at), default=None)
        return None if first is None else first.channel

    @property
    def seconds(self) -> float | None:
        """From its acceptance to the first delivery; None if there was none."""
        moments = [one.delivered_at for one in self.attempts if one.delivered_at is not None]
        if not moments:
            return None
        return (min(moments) - self._row.created_at).total_seconds()

    @property
    def cost(self) -> Decimal:
        """What it was charged in all; unrated deliveries count nothing."""
        charges = (self._tables.charges.get(one) for one in self._row.attempt_ids)
        amounts = (one.amount for one in charges if one is not None)
        return sum((one.value for one in amounts if one is not None), Decimal(0))

    def assert_delivered_by(self, channel: str, *, within: float | None = None) -> None:
        """The channel reached the person first, `within` so many seconds of the acceptance."""
        self._hold(self.delivered_by == channel, f"was not delivered by {channel}")
        if within is not None:
            self._hold((self.seconds or 0) <= within, f"was not delivered within {within} s")

    def assert_undelivered(self) -> None:
        """It has ended, and reached nobody."""
        self._hold(self.state is MessageState.UNDELIVERED, "is not undelivered")

    def assert_called(self, *channels: str) -> None:
        """These channels were called, in this order, and no other."""
        self._hold([*self.channels] == [*channels], f"did not call {', '.join(channels)}")

    def assert_cost(self, amount: str) -> None:
        """It was charged exactly this."""
        self._hold(self.cost == Decimal(amount), f"did not cost {amount}")

    @property
    def _row(self) -> MessageRow:
        return self._tables.messages[self.id]

    def _hold(self, holds: bool, problem: str) -> None:  # noqa: FBT001  # a condition
        if not holds:
            raise AssertionError(f"the message {problem}\n{self.story()}")

    def story(self) -> str:
        """Its attempts, one a line, with seconds since the acceptance."""
        lines = [f"{self.state}, cost {self.cost}"]
        for one in self.attempts:
            moments = {
                "called": one.started_at,
                "delivered": one.delivered_at,
                "ended": one.ended_at,
            }
            told = [
                f"{name} {(moment - self._row.created_at).total_seconds():.1f} s"
                for name, moment in moments.items()
                if moment is not None
            ]
            lines.append(
                f"  {one.channel}: {one.state} {one.error or ''} {', '.join(told)}".rstrip()
            )
        return "\n".join(lines)
