"""One message to one person, over the cheapest channel that reaches them in time."""

from __future__ import annotations

import importlib

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from cascade.client import Cascade, Row, RowError, SendReport
    from cascade.domain.errors import (
        CascadeError,
        ConfigurationError,
        IdempotencyConflictError,
        InvalidInputError,
        TryAgainError,
        UnknownMessageError,
    )
    from cascade.domain.event import Event, OnStatus
    from cascade.domain.message import Template
    from cascade.domain.policy import PolicyStep
    from cascade.domain.state import AttemptState, Channel, Lane, MessageState
    from cascade.producer import Producer
    from cascade.storage.status import AttemptStatus, MessageStatus, ReceiptStatus

# Read when a name is first asked for: the sandbox and the gateway would pay a second of imports
# for names that they never use.
_HOMES = {
    "AttemptState": "cascade.domain.state",
    "AttemptStatus": "cascade.storage.status",
    "Cascade": "cascade.client",
    "CascadeError": "cascade.domain.errors",
    "Channel": "cascade.domain.state",
    "ConfigurationError": "cascade.domain.errors",
    "Event": "cascade.domain.event",
    "IdempotencyConflictError": "cascade.domain.errors",
    "InvalidInputError": "cascade.domain.errors",
    "Lane": "cascade.domain.state",
    "MessageState": "cascade.domain.state",
    "MessageStatus": "cascade.storage.status",
    "OnStatus": "cascade.domain.event",
    "PolicyStep": "cascade.domain.policy",
    "Producer": "cascade.producer",
    "ReceiptStatus": "cascade.storage.status",
    "Row": "cascade.client",
    "RowError": "cascade.client",
    "SendReport": "cascade.client",
    "Template": "cascade.domain.message",
    "TryAgainError": "cascade.domain.errors",
    "UnknownMessageError": "cascade.domain.errors",
}

__all__ = [
    "AttemptState",
    "AttemptStatus",
    "Cascade",
    "CascadeError",
    "Channel",
    "ConfigurationError",
    "Event",
    "IdempotencyConflictError",
    "InvalidInputError",
    "Lane",
    "MessageState",
    "MessageStatus",
    "OnStatus",
    "PolicyStep",
    "Producer",
    "ReceiptStatus",
    "Row",
    "RowError",
    "SendReport",
    "Template",
    "TryAgainError",
    "UnknownMessageError",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
