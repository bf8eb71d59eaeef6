"""The producer task: the one broker message that is work and not a hint."""

from __future__ import annotations

import logging
import uuid

from threading import Event

from celery import current_app
from celery.exceptions import Reject
from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from cascade.dispatch import ENQUEUE, Dispatcher
from cascade.domain.errors import CascadeError, ConfigurationError, TryAgainError
from cascade.services.request import open_request
from cascade.services.submission import check
from cascade.services.submit import submit
from cascade.storage.database import is_passing
from cascade.storage.sealing import UnknownKeyError
from workers.runtime import ledger


log = logging.getLogger(__name__)

BREATH = 1.0  # seconds before the task goes back: the broker gives it again at once


def enqueue(message_id: str, sealed: str) -> str:
    """Accepts the sealed message; a repeat of the same id changes nothing.

    While the database cannot take it, or this process lacks the key or the policy, the task goes
    to the end of its queue. A request that can never be accepted fails the task, with the reason
    in its exception.
    """
    try:
        return _accept(uuid.UUID(message_id), sealed)
    except (SQLAlchemyError, TryAgainError, UnknownKeyError, ConfigurationError) as error:
        if isinstance(error, SQLAlchemyError) and not is_passing(error):
            raise
        log.warning(
            "a message is not accepted yet: %s",
            type(error).__name__,
            extra={"message_id": message_id},
        )
        Event().wait(BREATH)
        return _again(message_id, sealed)


def _again(message_id: str, sealed: str) -> str:
    """Publishes the task anew, before this one is acknowledged.

    Not a rejection: a quorum queue counts those, and keeps every one in its log.
    """
    try:
        dispatcher = Dispatcher(current_app)
        dispatcher.send(ENQUEUE, [message_id, sealed], ENQUEUE, shown=f"({message_id})")
    except (OperationalError, OSError) as error:
        raise Reject(type(error).__name__, requeue=True) from error
    return "again=1"


def _accept(message_id: uuid.UUID, sealed: str) -> str:
    ours = ledger()
    asked = open_request(ours.keyring, message_id, sealed)
    [result] = submit(ours, [check(asked, allow_unused=True)])
    if isinstance(result, CascadeError):
        raise result
    return f"accepted={result}"
