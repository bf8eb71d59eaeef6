"""For the tests of apps: the client on real servers of their own, and a simulation of the service
that needs none.
"""

from __future__ import annotations

from cascade.testing.clock import VirtualClock
from cascade.testing.faults import CALM, STORM, Faults
from cascade.testing.memory import MemoryStore
from cascade.testing.outcome import ChannelOutcome, Outcome
from cascade.testing.people import Reach
from cascade.testing.reaction import (
    Reaction,
    delivered,
    refused,
    rejected,
    silent,
    throttled,
    unanswered,
    undeliverable,
    unsupported,
    vanished,
)
from cascade.testing.servers import deployment
from cascade.testing.simulated_message import SimulatedMessage
from cascade.testing.simulation import Simulation


__all__ = [
    "CALM",
    "STORM",
    "ChannelOutcome",
    "Faults",
    "MemoryStore",
    "Outcome",
    "Reach",
    "Reaction",
    "SimulatedMessage",
    "Simulation",
    "VirtualClock",
    "delivered",
    "deployment",
    "refused",
    "rejected",
    "silent",
    "throttled",
    "unanswered",
    "undeliverable",
    "unsupported",
    "vanished",
]
