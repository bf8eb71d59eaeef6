"""What a Python app calls: send, send_many, status, cancel, events."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, Required, Self, TypedDict

from sqlalchemy.orm import Session, scoped_session

from cascade.dispatch import Dispatcher, producer_app
from cascade.domain.errors import CascadeError, InvalidInputError, UnknownMessageError, shown
from cascade.domain.event import Event, OnStatus
from cascade.domain.message import Template, Words
from cascade.domain.policy import PolicyStep
from cascade.domain.state import Lane
from cascade.services.cancel import cancel
from cascade.services.deployment import Ledger
from cascade.services.events import events
from cascade.services.join import join
from cascade.services.submission import Alike, Checked, Submission, check, lane_of
from cascade.services.submit import submit
from cascade.settings import ClientSettings, load
from cascade.storage.database import connect, transaction
from cascade.storage.status import MessageStatus, read_status


ROWS_AT_ONCE = 1000  # of send_many, in one transaction


class Row(TypedDict):
    """One recipient of `send_many`."""

    to: Required[str]
    key: NotRequired[str | None]
    variables: NotRequired[Mapping[str, str]]
    language: NotRequired[str | None]
    send_at: NotRequired[dt.datetime | None]


_ROW_FIELDS = Row.__required_keys__ | Row.__optional_keys__


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row (counted from 1) was refused; the other rows went on."""

    row: int
    error: CascadeError


@dataclass(slots=True)
class SendReport:
    """What became of the rows so far: an id for each (None where it was refused), the errors, and
    how many were `repeated`: their key had been used for the same request before.
    """

    ids: list[uuid.UUID | None] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    repeated: int = 0

    @property
    def accepted(self) -> int:
        """How many rows have an id."""
        return len(self.ids) - len(self.errors)


class Cascade:
    """The way in: one per process, shared by its threads. As a context manager it closes itself."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @classmethod
    def from_env(cls) -> Self:
        """Reads `CASCADE_DATABASE_URL`, `CASCADE_BROKER_URL`, `CASCADE_SEAL_KEYS` and
        `CASCADE_HASH_KEY`; raises ConfigurationError that names all that is wrong.
        """
        settings = load(ClientSettings)
        dispatcher = Dispatcher(producer_app(settings.broker_url.get_secret_value()))
        return cls(
            Ledger(
                engine=connect(settings.database_url.get_secret_value(), pool_size=5),
                keyring=settings.keyring(),
                publish=dispatcher.publish,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(  # noqa: PLR0913  # each is a word of the message itself
        self,
        *,
        to: str,
        text: Words,
        texts: Mapping[str, Words] | None = None,
        templates: Mapping[str, Template] | None = None,
        variables: Mapping[str, str] | None = None,
        language: str | None = None,
        policy: str | Sequence[PolicyStep] = "default",
        sender: str = "default",
        key: str | None = None,
        send_at: dt.datetime | None = None,
        deadline: dt.datetime | None = None,
        priority: Lane | str = Lane.NORMAL,
        on_status: OnStatus | None = None,
        session: Session | scoped_session[Session] | None = None,
    ) -> uuid.UUID:
        """Accepts one message and returns its id once it is committed.

        to: a phone number, best in international form: `+79161234567`.
        text: the words for all channels, with `#name#` places for `variables`; or texts by
            language, of which `language` names one.
        texts: other words for some channels, by channel.
        templates: provider templates by channel; they go before texts.
        variables: a value for each place; one that no text has a place for is an error.
        policy: a name from `policies.toml`, or a list of steps in the same words.
        sender: the brand or app on whose behalf the message goes.
        key: the same key (per sender, for 7 days) with the same request gives the first id.
        send_at: aware; nothing is sent before. A time that is over means at once.
        deadline: aware; after it nothing more is sent. The policy's own if None.
        priority: `urgent`, `normal` or `bulk`.
        on_status: your task, or endpoint, that is told of each change of the message's state.
        session: your own SQLAlchemy session on the same database, READ COMMITTED: the message is
            part of its transaction, and is sent after its commit.

        Raises InvalidInputError, ConfigurationError (no such policy, or no session that can be
        joined), IdempotencyConflictError, TryAgainError.
        """
        checked = check(
            Submission(
                to=to,
                text=text,
                texts=texts or {},
                templates=templates or {},
                variables=variables or {},
                language=language,
                policy=policy,
                sender=sender,
                key=key,
                send_at=send_at,
                deadline=deadline,
                priority=lane_of(priority),
                on_status=on_status,
            )
        )
        result = self._submit(checked) if session is None else join(session, self._ledger, checked)
        if isinstance(result, CascadeError):
            raise result
        return result

    def send_many(  # noqa: PLR0913  # each is a word of the messages themselves
        self,
        rows: Iterable[Row],
        *,
        text: Words,
        texts: Mapping[str, Words] | None = None,
        templates: Mapping[str, Template] | None = None,
        policy: str | Sequence[PolicyStep] = "default",
        sender: str = "default",
        deadline: dt.datetime | None = None,
        priority: Lane | str = Lane.NORMAL,
        on_status: OnStatus | None = None,
        progress: Callable[[SendReport], object] | None = None,
    ) -> SendReport:
        """Accepts one message per row, in sets of 1,000; `rows` may be any iterable.

        A refused row is reported with its number and never stops the rest. Each set is committed
        as a whole, and then `progress` is called with the report so far: with keys, a call that
        was cut off can be made again. The words are those of `send`.
        """
        common = Submission(
            to="",
            text=text,
            texts=texts or {},
            templates=templates or {},
            policy=policy,
            sender=sender,
            deadline=deadline,
            priority=lane_of(priority),
            on_status=on_status,
        )
        report, alike = SendReport(), Alike(common)
        numbered = enumerate(rows, 1)
        while chunk := list(itertools.islice(numbered, ROWS_AT_ONCE)):
            self._send_set(report, alike, chunk)
            if progress is not None:
                progress(report)
        report.errors.sort(key=lambda one: one.row)
        return report

    def status(self, message_id: uuid.UUID | str) -> MessageStatus:
        """The message with its timeline of attempts and receipts, and what it cost.

        Raises UnknownMessageError, InvalidInputError.
        """
        wanted = _id(message_id)
        status = transaction(self._ledger.engine, lambda c: read_status(c, wanted))
        if status is None:
            raise UnknownMessageError("message_id", "no message has it", "check where it is from")
        return status

    def cancel(self, message_id: uuid.UUID | str) -> bool:
        """Whether the message is cancelled now: what was not sent yet is not sent.

        False if it had ended before, or does not exist. Raises InvalidInputError.
        """
        return cancel(self._ledger, _id(message_id))

    def events(
        self, since: str | dt.datetime | None = None, *, limit: int | None = None
    ) -> Iterator[Event]:
        """The changes of all messages' states after `since`, up to now, oldest first.

        `since` is the `cursor` of the last event that was handled, so that a reader who keeps it
        misses none; or an aware time; or None for the very first. Raises InvalidInputError.
        """
        return events(self._ledger, since, limit=limit)

    def close(self) -> None:
        """Gives back the database connections."""
        self._ledger.engine.dispose()

    def _submit(self, checked: Checked) -> uuid.UUID | CascadeError:
        [result] = submit(self._ledger, [checked])
        return result

    def _send_set(self, report: SendReport, alike: Alike, rows: Iterable[tuple[int, Row]]) -> None:
        checked: list[tuple[int, Checked]] = []
        for number, row in rows:
            report.ids.append(None)
            try:
                checked.append((number, _checked(alike, row)))
            except CascadeError as error:
                report.errors.append(RowError(number, error))
        results = submit(self._ledger, [one for _, one in checked])
        for (number, one), result in zip(checked, results, strict=True):
            if isinstance(result, CascadeError):
                report.errors.append(RowError(number, result))
            else:
                report.ids[number - 1] = result
                report.repeated += result != one.message_id


def _checked(alike: Alike, row: Row) -> Checked:
    if not isinstance(row, Mapping):
        raise InvalidInputError("row", "it is no mapping", 'give {"to": …}')
    if not row.keys() <= _ROW_FIELDS:
        name = min(map(str, row.keys() - _ROW_FIELDS))
        raise InvalidInputError(
            f"row, {shown(name)}", "no such field", f"use {', '.join(sorted(_ROW_FIELDS))}"
        )
    return alike.check(
        to=row.get("to", ""),
        key=row.get("key"),
        variables=row.get("variables") or {},
        language=row.get("language"),
        send_at=row.get("send_at"),
    )


def _id(message_id: object) -> uuid.UUID:
    try:
        return message_id if isinstance(message_id, uuid.UUID) else uuid.UUID(str(message_id))
    except ValueError:
        raise InvalidInputError(
            "message_id", "it is no message's id", "give what send has returned"
        ) from None
