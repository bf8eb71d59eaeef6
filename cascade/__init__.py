"""One message to one person, over the cheapest channel that reaches them in time."""

from __future__ import annotations

from cascade.client import Cascade, Row, RowError, SendReport
from cascade.domain.errors import (
    CascadeError,
    ConfigurationError,
    IdempotencyConflictError,
    InvalidInputError,
    TryAgainError,
    UnknownMessageError,
)
from cascade.domain.message import Template
from cascade.domain.state import AttemptState, Channel, Lane, MessageState
from cascade.producer import Producer
from cascade.storage.status import AttemptStatus, MessageStatus, ReceiptStatus


__all__ = [
    "AttemptState",
    "AttemptStatus",
    "Cascade",
    "CascadeError",
    "Channel",
    "ConfigurationError",
    "IdempotencyConflictError",
    "InvalidInputError",
    "Lane",
    "MessageState",
    "MessageStatus",
    "Producer",
    "ReceiptStatus",
    "Row",
    "RowError",
    "SendReport",
    "Template",
    "TryAgainError",
    "UnknownMessageError",
]
