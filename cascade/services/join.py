"""Accepting a message inside the caller's own transaction: their rollback takes it with it."""

from __future__ import annotations

import uuid

from collections.abc import Callable, Iterable

from sqlalchemy import event
from sqlalchemy.orm import Session, scoped_session

from cascade.domain.errors import CascadeError, ConfigurationError
from cascade.domain.hint import Hint
from cascade.services.deployment import Ledger
from cascade.services.submission import Checked
from cascade.services.submit import accept, keys_are_waited_for
from cascade.storage.joining import is_ours, is_read_committed, waiting_for_locks


_HINTS = "cascade.hints"  # in the session's `info`: what to publish after its commit


def join(
    session: Session | scoped_session[Session], ledger: Ledger, submission: Checked
) -> uuid.UUID | CascadeError:
    """What `submit` does for one message, as a part of the session's transaction.

    Its hint goes out after the commit. Whatever fails leaves the transaction as it was: the work
    is done under a savepoint. Raises ConfigurationError if the session is on another database or
    not READ COMMITTED, and what `submit` raises.
    """
    inner = session() if isinstance(session, scoped_session) else session
    connection = inner.connection()
    if not is_ours(connection):
        raise ConfigurationError(
            "session", "its database has no schema cascade", "give one on CASCADE_DATABASE_URL"
        )
    if not is_read_committed(connection):
        raise ConfigurationError(
            "session",
            "its transaction is not READ COMMITTED, so it may not see who holds a key",
            "use that isolation level",
        )
    with keys_are_waited_for(), connection.begin_nested(), waiting_for_locks(connection):
        [result], hints = accept(connection, ledger, [submission])
    _publish_after_commit(inner, hints, ledger.publish)
    return result


def _publish_after_commit(
    session: Session, hints: Iterable[Hint], publish: Callable[[Iterable[Hint]], int]
) -> None:
    if _HINTS not in session.info:
        session.info[_HINTS] = []
        event.listen(session, "after_commit", lambda ended: _committed(ended, publish))
        event.listen(session, "after_rollback", _rolled_back)
    session.info[_HINTS] += hints


def _committed(session: Session, publish: Callable[[Iterable[Hint]], int]) -> None:
    if session.in_nested_transaction():  # only a savepoint is released
        return
    hints, session.info[_HINTS] = session.info[_HINTS], []
    publish(hints)


def _rolled_back(session: Session) -> None:
    # After a savepoint's rollback the hints of its messages stay: they name nothing, which is
    # harmless.
    if not session.in_nested_transaction():
        session.info[_HINTS] = []
