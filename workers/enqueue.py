"""The producer task: the one broker message that is work and not a hint."""

from __future__ import annotations

import logging
import uuid

from celery.exceptions import Reject
from sqlalchemy.exc import InterfaceError, OperationalError

from cascade.domain.errors import CascadeError, TryAgainError
from cascade.services.request import open_request
from cascade.services.submit import check, submit
from workers.runtime import ledger


log = logging.getLogger(__name__)


def enqueue(message_id: str, sealed: str) -> str:
    """Accepts the sealed message; a repeat of the same id changes nothing.

    While the database cannot take it, the task goes back to its queue. A request that can never
    be accepted fails the task, with the reason in its exception.
    """
    ours = ledger()
    stamped = uuid.UUID(message_id)
    asked = open_request(ours.keyring, stamped, sealed)
    try:
        [result] = submit(ours, [check(asked)])
    except (OperationalError, InterfaceError, TryAgainError) as error:
        log.warning("a message could not be accepted yet", extra={"message_id": message_id})
        raise Reject(type(error).__name__, requeue=True) from error
    if isinstance(result, CascadeError):
        raise result
    return f"accepted={result}"
