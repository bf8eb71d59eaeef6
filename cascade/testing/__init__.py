"""For the tests of apps: the client on real servers of their own, and a simulation of the service
that needs none.
"""

from __future__ import annotations

import importlib

from typing import TYPE_CHECKING

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
from cascade.testing.simulated_message import SimulatedMessage
from cascade.testing.simulation import Simulation


if TYPE_CHECKING:
    from cascade.testing.servers import deployment

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


def __getattr__(name: str) -> object:
    """`deployment`, once it is asked for: a simulation would wait a second for its servers."""
    if name != "deployment":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("cascade.testing.servers").deployment
