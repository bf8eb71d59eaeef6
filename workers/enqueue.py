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

BREATH = 0.25  # seconds before the task goes back: the broker gives it again at once
ROUNDS = 3600  # for a policy that is still to come: a quarter of an hour, or more under load


def enqueue(message_id: str, sealed: str, rounds: int = 0) -> str:
    """Accepts the sealed message; a repeat of the same id changes nothing. `rounds`: how often it
    went back already.

    While the database cannot take it, or this process lacks the key, or for a quarter of an hour
    the policy, the task goes to the end of its queue. A request that cannot be accepted fails the
    task, with the reason in its exception.
    """
    try:
        return _accept(uuid.UUID(message_id), sealed)
    except (SQLAlchemyError, TryAgainError, UnknownKeyError, ConfigurationError) as error:
        if not _may_pass(error, rounds):
            raise
        if rounds % (10 / BREATH) == 0:  # each ten seconds
            log.warning(
                "a message is not accepted yet: %s", _told(error), extra={"message_id": message_id}
            )
        Event().wait(BREATH)
        return _again(message_id, sealed, rounds + 1)


def _may_pass(error: Exception, rounds: int) -> bool:
    match error:
        case SQLAlchemyError():
            return is_passing(error)
        case ConfigurationError():
            return rounds < ROUNDS
        case _:
            return True


def _told(error: Exception) -> str:
    """An error of ours says field, problem and cure; a driver's text may hold anything."""
    return str(error) if isinstance(error, CascadeError) else type(error).__name__


def _again(message_id: str, sealed: str, rounds: int) -> str:
    """Publishes the task anew, before this one is acknowledged.

    Not a rejection: a quorum queue counts those, and keeps every one in its log.
    """
    try:
        dispatcher = Dispatcher(current_app)
        dispatcher.send(ENQUEUE, [message_id, sealed, rounds], ENQUEUE, shown=f"({message_id})")
    except (OperationalError, OSError) as error:
        raise Reject(type(error).__name__, requeue=True) from error
    return f"again={rounds}"


def _accept(message_id: uuid.UUID, sealed: str) -> str:
    ours = ledger()
    asked = open_request(ours.keyring, message_id, sealed)
    [result] = submit(ours, [check(asked, allow_unused=True)])
    if isinstance(result, CascadeError):
        raise result
    return f"accepted={result}"
