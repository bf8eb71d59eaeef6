"""Everything that can go wrong at once, to see what exceptions, logs and pages say of it."""

from __future__ import annotations

import traceback
import uuid

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import requests

from sqlalchemy import text
from sqlalchemy.orm import Session

from cascade import Row
from cascade.domain.message import fill
from demo.campaign import TEXT
from tests.acceptance.service import VARIABLES, Service, phone
from tests.acceptance.waiting import until


# Throttled, refused and failing providers, each for another reason.
FAILING = ("88111", "55111", "44454", "44855")
TO = [phone("11111", 60 + number) for number in range(9)]


def make_trouble(service: Service) -> list[str]:
    """Returns the texts of the exceptions that a caller met; workers met theirs meanwhile."""
    ids = service.send_many(phone(digits, 40 + n) for n, digits in enumerate(FAILING))
    ids += [_spoilt(service, TO[0], "recipient"), _spoilt(service, TO[1], "content")]
    said = [*_refusals(service)]
    _webhooks(service)
    with _broken_database(service):
        said.append(_said(lambda: service.cascade.send(to=TO[2], text=words(), sender="broken")))
        service.producer.enqueue(to=TO[3], text=words(), sender="broken")
        until(lambda: "CheckViolation" in service.log("collector"), seconds=20, what="failed task")
    service.await_final(ids)
    return said


def words() -> str:
    """The campaign's text with everything filled in."""
    return fill(TEXT, VARIABLES)


def _refusals(service: Service) -> Iterator[str]:
    """Of the client's own, for bad numbers, texts, policies and keys."""
    cascade, said = service.cascade, words()
    cascade.send(to=TO[4], text=said, key=TO[4])
    for bad in (
        lambda: cascade.send(to=TO[5][:-1], text=said),
        lambda: cascade.send(to=said, text=said),
        lambda: cascade.send(to=TO[5], text=TEXT),  # places without values
        lambda: cascade.send(to=TO[5], text=said, variables={said: TO[5]}),  # and without a place
        lambda: cascade.send(to=TO[5], text=said, policy=said),
        lambda: cascade.send(to=TO[5], text=f"{said}\ud83d"),
        lambda: cascade.send(to=TO[4], text=f"{said}{said}", key=TO[4]),  # another request
        lambda: service.producer.enqueue(to=TO[5][:-1], text=said),
    ):
        yield _said(bad)
    report = cascade.send_many([Row(to=TO[6][:-1]), Row(to=said)], text=said)
    yield "\n".join(map(str, report.errors))


def _said(work: Callable[[], object]) -> str:
    with pytest.raises(Exception) as refusal:  # noqa: PT011  # whatever it is, its text is searched
        work()
    error = refusal.value
    return "".join([*traceback.format_exception(error), repr(error), str(error)])


def _spoilt(service: Service, to: str, column: str) -> uuid.UUID:
    """A message whose sealed value no worker can use."""
    with Session(service.engine) as session, session.begin():
        one = service.cascade.send(to=to, text=words(), session=session)
        plain = f'{{"text": ["{words()}", "{to}"]}}'.encode()  # is sealed as it should be
        value = service.ledger.keyring.seal(plain, f"{column}:{one}")
        change = text(f"UPDATE cascade.messages SET {column} = :value WHERE id = :id")  # noqa: S608  # ours
        session.execute(change, {"value": value, "id": one})
    return one


def _webhooks(service: Service) -> None:
    """Forged, unreadable and unknown ones, full of what must not be told."""
    body = f'{{"phone": "{TO[7]}", "text": "{words()}"'.encode()
    environ = service.stack.environ
    token = environ["CASCADE_NOTIFY_VK_WEBHOOK_TOKEN"]
    for path in (
        f"notify-vk/{token}",
        f"notify-vk/{token}?phone={TO[7]}",
        "cloud-whatsapp",
        f"smsc/{TO[7]}",
        f"{TO[7]}/{words()}",
    ):
        url = f"{service.stack.running().gateway_url}/receipts/{path}"
        answer = requests.post(
            url, data=body, headers={"Content-Type": "application/json"}, timeout=10
        )
        assert 400 <= answer.status_code < 500


@contextmanager
def _broken_database(service: Service) -> Iterator[None]:
    """It refuses every message of one sender, and says which row that is."""
    table = "ALTER TABLE cascade.messages"
    with service.engine.begin() as connection:
        check = "CHECK (sender <> 'broken') NOT VALID"
        connection.execute(text(f"{table} ADD CONSTRAINT broken {check}"))
    try:
        yield
    finally:
        with service.engine.begin() as connection, suppress(Exception):
            connection.execute(text(f"{table} DROP CONSTRAINT broken"))
