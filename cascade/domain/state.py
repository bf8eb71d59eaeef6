"""The states of attempts and messages, and the one table of ways between them.

A provider's word only moves an attempt up `AttemptState`, in the order of its members (the
lattice). Our own decisions use the ways of `DECISIONS`; the only step down is the retry of a call
that provably never reached the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Channel(StrEnum):
    """What carries a message to a person."""

    VK = "vk"
    OK = "ok"
    VIBER = "viber"
    WHATSAPP = "whatsapp"
    SMS = "sms"


class Lane(StrEnum):
    """Queues and workers that do not wait for each other."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"


class AttemptState(StrEnum):
    """The life of one attempt, in rank order: a provider's word never moves it down."""

    SCHEDULED = "scheduled"  # waits for its start
    QUEUED = "queued"  # a worker may claim it
    RETRY = "retry"  # provably not sent; waits to be queued again
    CANCELLED = "cancelled"  # given up before it was sent
    SKIPPED = "skipped"  # a rule of ours said no
    SENDING = "sending"  # the intent is committed; the provider is being called
    UNKNOWN = "unknown"  # called, and nobody knows whether the provider took it
    SENT = "sent"  # the provider took it
    UNSUPPORTED = "unsupported"  # the person is not a user of this channel (today)
    REJECTED = "rejected"  # refused for a reason that is ours to fix
    EXPIRED = "expired"  # its time is over, in the queue or at the provider
    UNDELIVERABLE = "undeliverable"  # the provider gave up
    DELIVERED = "delivered"  # on the person's device: this is what is charged
    READ = "read"  # the person opened it

    rank: int
    """Place in the lattice, from 0 up."""

    def __init__(self, _value: str) -> None:
        self.rank = len(type(self).__members__)


# No call has been made, or the last one provably never reached the provider.
UNSENT = frozenset({AttemptState.SCHEDULED, AttemptState.QUEUED, AttemptState.RETRY})

# The transition table. What we decide, by the state it starts from:
DECISIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.SCHEDULED: frozenset(
        {AttemptState.QUEUED, AttemptState.CANCELLED, AttemptState.EXPIRED}
    ),
    AttemptState.QUEUED: frozenset(
        {AttemptState.SENDING, AttemptState.CANCELLED, AttemptState.EXPIRED}
    ),
    # The only step down, fenced by try number: the provider provably did not take it.
    AttemptState.SENDING: frozenset({AttemptState.RETRY, AttemptState.UNKNOWN}),
    AttemptState.RETRY: frozenset(
        {AttemptState.QUEUED, AttemptState.CANCELLED, AttemptState.EXPIRED}
    ),
    AttemptState.UNKNOWN: frozenset({AttemptState.EXPIRED}),
    AttemptState.SENT: frozenset({AttemptState.EXPIRED}),
}

# What a provider says. From any state, and only upwards:
FACTS = frozenset(
    {
        AttemptState.SENT,
        AttemptState.UNSUPPORTED,
        AttemptState.REJECTED,
        AttemptState.EXPIRED,
        AttemptState.UNDELIVERABLE,
        AttemptState.DELIVERED,
        AttemptState.READ,
    }
)


def may_decide(old: AttemptState, new: AttemptState) -> bool:
    """Whether we may move an attempt from `old` to `new` by a decision of ours."""
    return new in DECISIONS.get(old, frozenset())


def may_hear(old: AttemptState, new: AttemptState) -> bool:
    """Whether a provider's word `new` moves an attempt that is in `old`."""
    return new in FACTS and new.rank > old.rank


class MessageState(StrEnum):
    """The life of one message."""

    IN_PROGRESS = "in_progress"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    CANCELLED = "cancelled"


class Success(StrEnum):
    """What a step asks for before the message counts as delivered."""

    DELIVERED = "delivered"
    READ = "read"

    def is_met_by(self, state: AttemptState) -> bool:
        """Whether an attempt in `state` satisfies the step."""
        return state.rank >= _LEAST[self].rank


_LEAST = {success: AttemptState(success.value) for success in Success}
