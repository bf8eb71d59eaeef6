"""What a Python app calls: send, send_many, status, cancel."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NotRequired, Required, Self, TypedDict

from cascade.dispatch import Dispatcher, producer_app
from cascade.domain.errors import CascadeError, UnknownMessageError
from cascade.domain.message import Template
from cascade.domain.state import Lane
from cascade.services.cancel import cancel
from cascade.services.deployment import Ledger
from cascade.services.submit import Checked, Submission, check, lane_of, submit
from cascade.settings import ClientSettings, load
from cascade.storage.database import connect, transaction
from cascade.storage.status import MessageStatus, read_status


ROWS_AT_ONCE = 1000  # of send_many, in one transaction


class Row(TypedDict):
    """One recipient of `send_many`."""

    to: Required[str]
    key: NotRequired[str | None]
    variables: NotRequired[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row (counted from 1) was refused; the other rows went on."""

    row: int
    error: CascadeError


@dataclass(slots=True)
class SendReport:
    """What became of the rows: an id for each (None where it was refused), and the errors."""

    ids: list[uuid.UUID | None] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """How many rows have an id."""
        return len(self.ids) - len(self.errors)


class Cascade:
    """The way in: one per process, shared by its threads."""

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

    def send(  # noqa: PLR0913  # each is a word of the message itself
        self,
        *,
        to: str,
        text: str,
        policy: str = "default",
        variables: Mapping[str, str] | None = None,
        templates: Mapping[str, Template] | None = None,
        sender: str = "default",
        key: str | None = None,
        deadline: dt.datetime | None = None,
        priority: Lane | str = Lane.NORMAL,
    ) -> uuid.UUID:
        """Accepts one message and returns its id once it is committed.

        `to` is a phone number, `text` may hold `#name#` places for `variables`; `templates` are
        provider templates by channel. The same `key` with the same request gives the first id.
        After `deadline` (aware; 72 hours if None) nothing more is sent.

        Raises InvalidInputError, ConfigurationError (no such policy), IdempotencyConflictError,
        TryAgainError.
        """
        submission = Submission(
            to=to,
            text=text,
            policy=policy,
            variables=variables or {},
            templates=templates or {},
            sender=sender,
            key=key,
            deadline=deadline,
            priority=lane_of(priority),
        )
        [result] = submit(self._ledger, [check(submission)])
        if isinstance(result, CascadeError):
            raise result
        return result

    def send_many(  # noqa: PLR0913  # each is a word of the messages themselves
        self,
        rows: Iterable[Row],
        *,
        text: str,
        policy: str = "default",
        templates: Mapping[str, Template] | None = None,
        sender: str = "default",
        deadline: dt.datetime | None = None,
        priority: Lane | str = Lane.NORMAL,
    ) -> SendReport:
        """Accepts one message per row, in sets of 1,000; `rows` may be any iterable.

        A refused row is reported with its number and never stops the rest. Each set is committed
        as a whole: with keys, a call that was cut off can be made again.
        """
        report = SendReport()
        lane = lane_of(priority)
        numbered = enumerate(rows, 1)
        while chunk := list(itertools.islice(numbered, ROWS_AT_ONCE)):
            submissions = (
                (
                    number,
                    Submission(
                        to=row.get("to", ""),
                        text=text,
                        policy=policy,
                        variables=row.get("variables") or {},
                        templates=templates or {},
                        sender=sender,
                        key=row.get("key"),
                        deadline=deadline,
                        priority=lane,
                    ),
                )
                for number, row in chunk
            )
            self._send_set(report, submissions)
        report.errors.sort(key=lambda one: one.row)
        return report

    def status(self, message_id: uuid.UUID) -> MessageStatus:
        """The message with its timeline of attempts and receipts, and what it cost.

        Raises UnknownMessageError.
        """
        status = transaction(self._ledger.engine, lambda c: read_status(c, message_id))
        if status is None:
            raise UnknownMessageError("message_id", "no message has it", "check where it is from")
        return status

    def cancel(self, message_id: uuid.UUID) -> bool:
        """Whether the message is cancelled now: what was not sent yet is not sent.

        False if it had ended before, or does not exist.
        """
        return cancel(self._ledger, message_id)

    def close(self) -> None:
        """Gives back the database connections."""
        self._ledger.engine.dispose()

    def _send_set(self, report: SendReport, submissions: Iterator[tuple[int, Submission]]) -> None:
        checked: list[tuple[int, Checked]] = []
        for number, submission in submissions:
            report.ids.append(None)
            try:
                checked.append((number, check(submission)))
            except CascadeError as error:
                report.errors.append(RowError(number, error))
        results = submit(self._ledger, [one for _, one in checked])
        for (number, _), result in zip(checked, results, strict=True):
            if isinstance(result, CascadeError):
                report.errors.append(RowError(number, result))
            else:
                report.ids[number - 1] = result
