from __future__ import annotations

import re
import uuid

import pytest

from cascade import MessageState, UnknownMessageError
from cascade.dispatch import ENQUEUE, Dispatcher, producer_app
from cascade.services.request import seal_request
from cascade.services.submission import Submission
from demo.campaign import TEMPLATES, TEXT
from tests.acceptance.secrecy import found, secrets
from tests.acceptance.service import VARIABLES, Service, phone
from tests.acceptance.waiting import until


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def enqueue(service: Service, to: str, message_id: uuid.UUID | None = None) -> uuid.UUID:
    return service.producer.enqueue(
        to=to, text=TEXT, variables=VARIABLES, templates=TEMPLATES, message_id=message_id
    )


def test_a_message_that_the_broker_delivers_twice_is_accepted_once_and_was_sealed_on_its_way(
    service: Service,
) -> None:
    to = phone("11111", 5)
    with service.without("collector"):
        message_id = enqueue(service, to)
        assert enqueue(service, to, message_id) == message_id
        queued = service.broker().bodies(ENQUEUE)
        assert len(queued) == 2
        for said in queued:
            assert str(message_id) in said
            assert found(said, secrets([to])) == []
        assert service.rows("SELECT FROM cascade.messages WHERE id = :id", id=message_id) == []
    until(lambda: accepted(service, message_id) == 2, seconds=30, what="answer to both")
    service.await_final([message_id])
    assert service.status(message_id).state is MessageState.DELIVERED
    billed = [e for e in service.sandbox_events("delivered") if e["recipient"] == to]
    assert len(billed) == 1


def test_what_cannot_be_opened_or_accepted_fails_its_task_and_nothing_else(
    service: Service,
) -> None:
    dispatcher = Dispatcher(producer_app(service.stack.environ["CASCADE_BROKER_URL"]))
    other, unsayable, fine = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    keyring = service.ledger.keyring
    to = phone("11111", 6)
    moved = seal_request(keyring, uuid.uuid4(), Submission(to=to, text=TEXT))  # of another id
    asked = Submission(to=to, text=TEXT)  # its places have no values
    for message_id, sealed in (
        ("no uuid", "no base64"),
        (str(other), moved),
        (str(unsayable), seal_request(keyring, unsayable, asked)),
    ):
        dispatcher.send(ENQUEUE, [message_id, sealed], ENQUEUE)
    enqueue(service, to, fine)
    until(lambda: len(failures(service)) == 3, seconds=20, what="three failures")
    assert set(failures(service)) == {"ValueError", "UnsealableError", "InvalidInputError"}
    until(lambda: accepted(service, fine), seconds=20, what="acceptance of the one that is fine")
    assert found(service.log("collector"), secrets([to])) == []
    for refused in (other, unsayable):
        with pytest.raises(UnknownMessageError):
            service.status(refused)


def accepted(service: Service, message_id: uuid.UUID) -> int:
    """How many tasks have answered that this message is accepted."""
    return service.log("collector").count(f"accepted={message_id}")


def failures(service: Service) -> list[str]:
    """The exceptions of the tasks that failed."""
    return re.findall(
        r"Task cascade\.enqueue\[\S+\] raised unexpected: .*?(\w+Error)", service.log("collector")
    )
