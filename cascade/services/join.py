"""Accepting a message inside the caller's own transaction: their rollback takes it with it."""

from __future__ import annotations

import uuid

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection, event
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from cascade.domain.errors import CascadeError, ConfigurationError, InvalidInputError
from cascade.domain.hint import Hint
from cascade.services.deployment import Ledger
from cascade.services.submission import Checked
from cascade.services.submit import accept, keep_inline, keys_are_waited_for
from cascade.storage.joining import problem_of, waiting_for_locks


_HINTS = "cascade.hints"  # in the session's `info`: what to publish after its commit


def join(
    session: Session | scoped_session[Session], ledger: Ledger, submission: Checked
) -> uuid.UUID | CascadeError:
    """What `submit` does for one message, as a part of the session's transaction.

    Its hint goes out after the commit. Whatever fails leaves the transaction as it was: the work
    is done under a savepoint. Raises ConfigurationError for a session that cannot be joined, and
    what `submit` raises.
    """
    if not isinstance(session, Session | scoped_session):
        raise InvalidInputError(
            "session", "it is no SQLAlchemy Session", "give one, or leave it out"
        )
    inner = session() if isinstance(session, scoped_session) else session
    connection = _connection(inner)
    inline = keep_inline(ledger, [submission.shared])
    with keys_are_waited_for(), connection.begin_nested(), waiting_for_locks(connection):
        [result], hints = accept(ledger.store.on(connection), ledger, [submission], inline)
    _publish_after_commit(inner, hints, ledger.publish)
    return result


def _connection(session: Session) -> Connection:
    """The session's, if a message can be part of its transaction; raises ConfigurationError."""
    try:
        connection = session.connection()
    except UnboundExecutionError:
        raise ConfigurationError(
            "session", "it is bound to no database by itself", "bind it to one engine"
        ) from None
    problem = problem_of(connection)
    if problem is not None:
        raise ConfigurationError("session", *problem)
    return connection


def _publish_after_commit(
    session: Session, hints: Sequence[Hint], publish: Callable[[Iterable[Hint]], int]
) -> None:
    if _HINTS not in session.info:
        session.info[_HINTS] = []
        event.listen(session, "after_commit", _committed)
        event.listen(session, "after_transaction_end", _ended)
    session.info[_HINTS].append((publish, hints))


def _committed(session: Session) -> None:
    if session.in_nested_transaction():  # only a savepoint is released
        return
    # After a savepoint's rollback the hints of its messages are still here: they name nothing,
    # which is harmless.
    for publish, hints in session.info[_HINTS]:
        publish(hints)


def _ended(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info[_HINTS] = []
