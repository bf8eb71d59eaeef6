"""The whole service as tests drive it: the stack, a client, and looks at its books and queues."""

from __future__ import annotations

import ast
import json
import uuid

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from sqlalchemy import Engine, Row, text

from cascade import Cascade, Lane, MessageStatus, OnStatus, Producer
from cascade.services.deployment import Ledger
from demo.campaign import TEMPLATES, TEXT
from demo.process import stop
from demo.stack import Stack
from tests.acceptance.broker import Broker, broker_at
from tests.acceptance.waiting import until


VARIABLES = {"name": "Аполлинария", "order": "7318", "amount": "4 990"}


def phone(digits: str, number: int = 0) -> str:
    """A number whose last digits choose its fate on vk, ok, viber, whatsapp and sms."""
    return f"+7916{number:02d}{digits}"


def attempt_ids(task: Mapping[str, Any]) -> list[int]:
    """What a deliver task of Flower's was told."""
    if not task["name"].startswith("deliver."):
        return []
    ids: list[int]
    (ids,) = ast.literal_eval(task["args"])
    return ids


@dataclass(frozen=True, slots=True)
class Service:
    """One running stack."""

    stack: Stack
    engine: Engine
    cascade: Cascade
    producer: Producer
    ledger: Ledger
    broker_files: Path | None

    def send(
        self,
        to: str,
        *,
        priority: Lane = Lane.NORMAL,
        policy: str = "default",
        on_status: OnStatus | None = None,
    ) -> uuid.UUID:
        """One message of the demo's campaign."""
        return self.cascade.send(
            to=to,
            text=TEXT,
            variables=VARIABLES,
            templates=TEMPLATES,
            priority=priority,
            policy=policy,
            on_status=on_status,
        )

    def send_many(
        self, numbers: Iterable[str], *, priority: Lane = Lane.NORMAL
    ) -> list[uuid.UUID]:
        """The campaign to these numbers, in one hint of the first channel."""
        report = self.cascade.send_many(
            [{"to": number, "variables": VARIABLES} for number in numbers],
            text=TEXT,
            templates=TEMPLATES,
            priority=priority,
        )
        assert not report.errors
        return [one for one in report.ids if one is not None]

    def status(self, message_id: uuid.UUID) -> MessageStatus:
        return self.cascade.status(message_id)

    def rows(self, statement: str, **values: object) -> Sequence[Row[Any]]:
        """What a query finds."""
        with self.engine.connect() as connection:
            return connection.execute(text(statement), values).all()

    def attempts(self, ids: Collection[uuid.UUID]) -> Sequence[Row[Any]]:
        """The attempts of these messages, in the order in which they were opened."""
        statement = "SELECT * FROM cascade.attempts WHERE message_id = ANY(:ids) ORDER BY id"
        return self.rows(statement, ids=list(ids))

    def accepted_events(self, ids: Collection[uuid.UUID]) -> Mapping[str, int]:
        """How often the sandbox accepted each attempt of these messages, by our reference."""
        counts = {one.client_ref: 0 for one in self.attempts(ids)}
        for event in self.sandbox_events("accepted"):
            if event["client_ref"] in counts:
                counts[event["client_ref"]] += 1
        return counts

    def sandbox_events(self, kind: str) -> list[dict[str, Any]]:
        """The judge's record of one kind of event."""
        lines = self.stack.sandbox_ledger.read_text("utf-8").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def is_final(self, ids: Collection[uuid.UUID]) -> bool:
        """Whether these messages have ended and none of their attempts is live."""
        [(busy,)] = self.rows(
            "SELECT EXISTS (SELECT FROM cascade.messages"
            " WHERE id = ANY(:ids) AND state = 'in_progress')"
            " OR EXISTS (SELECT FROM cascade.attempts"
            " WHERE message_id = ANY(:ids) AND due_at IS NOT NULL)",
            ids=list(ids),
        )
        return not busy

    def await_final(self, ids: Collection[uuid.UUID], *, seconds: float = 40) -> None:
        until(lambda: self.is_final(ids), seconds=seconds, what="end of the messages")

    def await_quiet(self, *, seconds: float = 60) -> None:
        """Waits until nothing in the database or at the sandbox can still change the books.

        A receipt may come before its call is settled, and is looked at again: three times it is
        waited for, since others are never attributed.
        """
        until(self._is_quiet, seconds=seconds, what="quiet")

    def _is_quiet(self) -> bool:
        [(busy,)] = self.rows(
            "SELECT EXISTS (SELECT FROM cascade.attempts WHERE due_at IS NOT NULL)"
            " OR EXISTS (SELECT FROM cascade.receipts WHERE due_at IS NOT NULL AND looks < 3)"
        )
        return not busy and self.stack.pending() == 0

    def log(self, name: str) -> str:
        """All that a process has said so far."""
        return (self.stack.directory / "logs" / f"{name}.log").read_text("utf-8")

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """The stack while these processes are stopped in order; they are started again."""
        stop([self.stack.processes.pop(name) for name in names])
        try:
            yield
        finally:
            for name in names:
                self.stack.restart(name)

    def broker(self) -> Broker:
        """A look at the broker's contents."""
        return broker_at(self.stack.environ["CASCADE_BROKER_URL"], self.broker_files)

    def flower(self, path: str, *, password: str | None = None) -> requests.Response:
        """A page of Flower, with its password unless another is given."""
        environment = self.stack.running()
        given = environment.flower_password if password is None else password
        auth = ("cascade", given)
        return requests.get(f"{environment.flower_url}{path}", auth=auth, timeout=10)
