"""For apps that reach the broker but not the database: sealed requests as Celery tasks."""

from __future__ import annotations

import datetime as dt
import uuid

from collections.abc import Mapping, Sequence
from typing import Self

from uuid_utils.compat import uuid7

from cascade.dispatch import ENQUEUE, Dispatcher, producer_app
from cascade.domain.event import OnStatus
from cascade.domain.message import Template, Words
from cascade.domain.policy import PolicyStep
from cascade.domain.state import Lane
from cascade.services.request import seal_request
from cascade.services.submission import Submission, check, lane_of
from cascade.settings import ProducerSettings, load
from cascade.storage.sealing import Keyring


class Producer:
    """Publishes `cascade.enqueue`: a message is accepted once the task has committed its row."""

    def __init__(self, dispatcher: Dispatcher, keyring: Keyring) -> None:
        self._dispatcher = dispatcher
        self._keyring = keyring

    @classmethod
    def from_env(cls) -> Self:
        """Reads `CASCADE_BROKER_URL`, `CASCADE_SEAL_KEYS` and `CASCADE_HASH_KEY`."""
        settings = load(ProducerSettings)
        app = producer_app(settings.broker_url.get_secret_value())
        return cls(Dispatcher(app), settings.keyring())

    def enqueue(  # noqa: PLR0913  # each is a word of the message itself
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
        message_id: uuid.UUID | None = None,
    ) -> uuid.UUID:
        """Publishes one sealed message and returns the id it will have, unless `key` was used
        before: then the first message keeps its own.

        The words are those of `Cascade.send`. The id is the key: however often the broker delivers the task, the message is sent once.
        Pass `message_id` to repeat a call whose outcome is not known. Raises InvalidInputError,
        and kombu's OperationalError if the broker did not take it.
        """
        stamped = message_id or uuid7()
        asked = Submission(
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
            message_id=stamped,
        )
        check(asked)
        sealed = seal_request(self._keyring, stamped, asked)
        self._dispatcher.send(ENQUEUE, [str(stamped), sealed], ENQUEUE, shown=f"({stamped})")
        return stamped
