"""A key is rotated over many rows while messages are sent, called, heard of and charged."""

from __future__ import annotations

import dataclasses
import uuid

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from cascade import Row
from cascade.channels.base import Accepted
from cascade.services.deployment import Ledger
from cascade.services.reseal import Rotation, reseal
from cascade.services.sealed import open_content, open_recipient
from cascade.storage.reseal import key_id_of
from cascade.storage.sealing import Keyring
from tests.services.journey import Journey


pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

MESSAGES, RECEIPTS_EACH = 2_000, 4
ROWS = MESSAGES * (1 + RECEIPTS_EACH)
OLD, NEW = b"k" * 32, b"n" * 32
# An app that was started again last still seals by the old key, and opens both.
LAST_APP = Keyring({"test": OLD, "new": NEW}, b"h" * 32)
SERVICES = Keyring({"new": NEW, "test": OLD}, b"h" * 32)
NEW_ALONE = Keyring({"new": NEW}, b"h" * 32)


def under(ledger: Ledger, keyring: Keyring) -> Journey:
    """A process with these keys; the clock is nobody's business here."""
    return Journey(dataclasses.replace(ledger, keyring=keyring), lambda _: None)


@pytest.fixture
def stock(journey: Journey) -> list[uuid.UUID]:
    """Ten thousand rows under the old key: messages of last week, and receipts."""
    rows = [Row(to=f"+7916{number:07}") for number in range(MESSAGES)]
    report = journey.cascade.send_many(rows, text="Ваш заказ собран")
    ids = [one for one in report.ids if one is not None]
    journey.change(
        "UPDATE cascade.attempts SET state = 'delivered', due_at = NULL, ended_at = created_at"
    )
    journey.change(
        "INSERT INTO cascade.receipts (account, client_ref, status, native_status, raw,"
        " dedupe_key, due_at, applied_at)"
        " SELECT account, client_ref, 'sent', 'sent', :raw, decode(md5(client_ref || n), 'hex'),"
        " NULL, cascade.clock() FROM cascade.attempts, generate_series(1, :each) n",
        raw=journey.ledger.keyring.seal(b"{}", "receipt:notify-vk"),
        each=RECEIPTS_EACH,
    )
    return ids


def flow(app: Journey, service: Journey, stopped: Event) -> list[uuid.UUID]:
    """Messages, one after the other from their acceptance to their charge."""
    sent = []
    while not stopped.is_set():
        sent.append(app.send())
        service.call(sent[-1], Accepted())
        service.deliver(sent[-1])
    return sent


def test_messages_flow_on_while_ten_thousand_rows_are_sealed_again(
    ledger: Ledger, journey: Journey, stock: list[uuid.UUID]
) -> None:
    stopped = Event()
    looks: list[int] = []
    app, service = under(ledger, LAST_APP), under(ledger, SERVICES)
    with ThreadPoolExecutor(1) as pool:
        flowing = pool.submit(flow, app, service, stopped)
        look: Callable[[Rotation], None] = lambda done: looks.append(done.looked_in_all)  # noqa: E731  # a look
        reseal(ledger.engine, SERVICES, "new", look)
        stopped.set()
        sent = flowing.result()
    done = reseal(ledger.engine, SERVICES, "new", look)  # for what the last app sealed

    assert done.doubts(waiting_requests=0) == []
    assert len(sent) >= 10
    assert looks[-1] >= ROWS
    assert {journey.message(one).state for one in sent} == {"delivered"}
    assert len(journey.charges()) == len(sent)
    rows = journey.rows("SELECT id, recipient, content FROM cascade.messages")
    raws = journey.rows("SELECT account, raw FROM cascade.receipts")
    assert len(rows) == len(stock) + len(sent)
    assert len(raws) == MESSAGES * RECEIPTS_EACH + len(sent)
    for row in rows:
        assert open_recipient(NEW_ALONE, row.id, bytes(row.recipient)).startswith("+7916")
        assert open_content(NEW_ALONE, row.id, bytes(row.content)).text
    assert {key_id_of(bytes(row.raw)) for row in raws} == {"new"}
