from __future__ import annotations

import base64
import datetime as dt
import uuid

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from celery.exceptions import Reject
from kombu import Connection
from sqlalchemy import Engine, make_url, text

from cascade.dispatch import ENQUEUE
from cascade.domain.errors import ConfigurationError, InvalidInputError
from cascade.services.deployment import Ledger
from cascade.services.request import seal_request
from cascade.services.submission import Submission
from cascade.storage.sealing import Keyring, UnsealableError
from workers import runtime
from workers.enqueue import ROUNDS, enqueue
from workers.make_app import make_app


pytestmark = pytest.mark.integration

KEY = base64.b64encode(b"k" * 32).decode()
HASH_KEY = base64.b64encode(b"h" * 32).decode()


@pytest.fixture
def environment(
    database_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """The settings of a worker on the test's database, with the keys of `ledger`."""
    make_app("memory://")  # takes the hints, and what goes back
    monkeypatch.setenv("CASCADE_DATABASE_URL", database_url)
    monkeypatch.setenv("CASCADE_BROKER_URL", "memory://")
    monkeypatch.setenv("CASCADE_SEAL_KEYS", f"test:{KEY}")
    monkeypatch.setenv("CASCADE_HASH_KEY", HASH_KEY)
    _forget()
    yield monkeypatch
    runtime.ledger().engine.dispose()
    _forget()


def _forget() -> None:
    """The next task reads the environment anew, as a new worker would."""
    runtime.settings.cache_clear()
    runtime.ledger.cache_clear()


def sealed(ledger: Ledger, message_id: uuid.UUID, **more: object) -> str:
    asked = Submission(to="+79160011111", text="Заказ готов", **more)  # type: ignore[arg-type]  # names and keys
    return seal_request(ledger.keyring, message_id, asked)


def waiting() -> list[uuid.UUID]:
    """The messages whose requests are in the queue, which is empty thereafter."""
    with Connection("memory://") as connection:
        channel: Any = connection.channel()
        got = list(iter(lambda: channel.basic_get(ENQUEUE, no_ack=True), None))
    return [uuid.UUID(message.payload[0][0]) for message in got]


def messages(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM cascade.messages")).scalar_one())


@pytest.mark.usefixtures("environment")
def test_a_request_is_accepted_once_however_often_it_is_delivered(
    ledger: Ledger, engine: Engine
) -> None:
    message_id = uuid.uuid4()
    request = sealed(ledger, message_id)
    assert enqueue(str(message_id), request) == f"accepted={message_id}"
    assert enqueue(str(message_id), request) == f"accepted={message_id}"
    assert messages(engine) == 1


@pytest.mark.usefixtures("environment")
def test_a_request_under_another_messages_id_is_refused(ledger: Ledger, engine: Engine) -> None:
    request = sealed(ledger, uuid.uuid4())
    with pytest.raises(UnsealableError):
        enqueue(str(uuid.uuid4()), request)
    assert messages(engine) == 0


@pytest.mark.usefixtures("environment")
def test_a_request_that_can_never_be_accepted_fails_with_the_reason(
    ledger: Ledger, engine: Engine
) -> None:
    message_id = uuid.uuid4()
    with pytest.raises(InvalidInputError, match="time zone"):
        enqueue(str(message_id), sealed(ledger, message_id, deadline=dt.datetime(2100, 1, 1)))  # noqa: DTZ001
    assert messages(engine) == 0


@pytest.mark.usefixtures("environment")
def test_a_policy_that_is_not_synced_yet_is_waited_for(ledger: Ledger, engine: Engine) -> None:
    message_id = uuid.uuid4()
    assert enqueue(str(message_id), sealed(ledger, message_id, policy="coming")) == "again=1"
    assert waiting() == [message_id]
    assert messages(engine) == 0


@pytest.mark.usefixtures("environment")
def test_a_policy_that_does_not_come_fails_the_task_in_the_end(ledger: Ledger) -> None:
    message_id = uuid.uuid4()
    request = sealed(ledger, message_id, policy="a-slip")

    assert enqueue(str(message_id), request, ROUNDS - 1) == f"again={ROUNDS}"
    assert waiting() == [message_id]
    with pytest.raises(ConfigurationError, match="a-slip"):
        enqueue(str(message_id), request, ROUNDS)


@pytest.mark.usefixtures("environment")
def test_a_key_that_is_not_here_yet_is_waited_for(ledger: Ledger, engine: Engine) -> None:
    message_id = uuid.uuid4()
    newer = replace(ledger, keyring=Keyring({"newer": b"n" * 32}, b"h" * 32))
    assert enqueue(str(message_id), sealed(newer, message_id)) == "again=1"
    assert waiting() == [message_id]
    assert messages(engine) == 0


def test_while_the_database_is_away_the_task_goes_to_the_end_of_its_queue(
    environment: pytest.MonkeyPatch, ledger: Ledger, database_url: str
) -> None:
    message_id = uuid.uuid4()
    away = make_url(database_url).set(port=1).render_as_string(hide_password=False)
    environment.setenv("CASCADE_DATABASE_URL", away)
    assert enqueue(str(message_id), sealed(ledger, message_id)) == "again=1"
    assert waiting() == [message_id]


@pytest.mark.usefixtures("environment")
def test_while_another_caller_holds_its_key_the_task_goes_to_the_end_of_its_queue(
    ledger: Ledger, engine: Engine
) -> None:
    message_id = uuid.uuid4()
    request = sealed(ledger, message_id, key="order-1")
    with engine.connect() as other, other.begin() as held:
        # It outlasts what the task waits for a lock, which nobody who is idle does otherwise.
        other.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        other.execute(text("LOCK TABLE cascade.idempotency_keys IN SHARE MODE"))
        assert enqueue(str(message_id), request) == "again=1"
        held.rollback()
    assert waiting() == [message_id]
    assert enqueue(str(message_id), request) == f"accepted={message_id}"


def test_while_the_broker_is_away_too_the_task_is_not_acknowledged(
    environment: pytest.MonkeyPatch, ledger: Ledger, database_url: str
) -> None:
    message_id = uuid.uuid4()
    away = make_url(database_url).set(port=1).render_as_string(hide_password=False)
    environment.setenv("CASCADE_DATABASE_URL", away)
    make_app("redis://127.0.0.1:1")
    with pytest.raises(Reject) as refusal:
        enqueue(str(message_id), sealed(ledger, message_id))
    assert refusal.value.requeue  # type: ignore[attr-defined]  # the stubs do not know it
