"""The producer task: the one broker message that is work and not a hint."""

from __future__ import annotations

import logging
import uuid

from threading import Event

from celery.exceptions import Reject
from sqlalchemy.exc import SQLAlchemyError

from cascade.domain.errors import CascadeError, ConfigurationError, TryAgainError
from cascade.services.request import open_request
from cascade.services.submission import check
from cascade.services.submit import submit
from cascade.storage.database import is_passing
from cascade.storage.sealing import UnknownKeyError
from workers.runtime import ledger


log = logging.getLogger(__name__)

BREATH = 1.0  # seconds before the task goes back: Redis gives it again at once


def enqueue(message_id: str, sealed: str) -> str:
    """Accepts the sealed message; a repeat of the same id changes nothing.

    While the database cannot take it, or this process lacks the key or the policy, the task goes
    back to its queue. A request that can never be accepted fails the task, with the reason in its
    exception.
    """
    try:
        return _accept(uuid.UUID(message_id), sealed)
    except (SQLAlchemyError, TryAgainError, UnknownKeyError, ConfigurationError) as error:
        if isinstance(error, SQLAlchemyError) and not is_passing(error):
            raise
        log.warning("message %s is not accepted yet: %s", message_id, type(error).__name__)
        Event().wait(BREATH)
        raise Reject(type(error).__name__, requeue=True) from error


def _accept(message_id: uuid.UUID, sealed: str) -> str:
    ours = ledger()
    asked = open_request(ours.keyring, message_id, sealed)
    [result] = submit(ours, [check(asked)])
    if isinstance(result, CascadeError):
        raise result
    return f"accepted={result}"
