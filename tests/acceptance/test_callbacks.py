from __future__ import annotations

import shutil
import ssl
import uuid

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from sqlalchemy import Row
from standardwebhooks import Webhook

from cascade.domain.event import OnStatus
from cascade.services.sync import sync
from demo.campaign import TEMPLATES, TEXT
from tests.acceptance.caller import Caller
from tests.acceptance.service import VARIABLES, Service, phone
from tests.acceptance.waiting import until
from tests.callbacks.receiver import Receiver, a_receiver
from tests.conftest import CONFIG


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def events(service: Service, message_id: uuid.UUID) -> Sequence[Row[Any]]:
    return service.rows(
        "SELECT state, tries, told_at FROM cascade.events WHERE message_id = :id ORDER BY sequence",
        id=message_id,
    )


def test_a_callers_task_hears_each_change_in_order_also_after_its_broker_was_away(
    service: Service, caller: Caller
) -> None:
    # Delivered by WhatsApp at once, but nobody hears the webhook before the SMS has failed too.
    to = phone("11115", 9)
    with caller.without_broker(), service.without("gateway"):
        message_id = service.send(to, policy="hasty", on_status=caller.on_status)
        until(
            lambda: [one.tries for one in events(service, message_id)] >= [1],
            seconds=30,
            what="event whose telling has failed",
        )
    with caller.working():
        until(lambda: len(caller.heard()) >= 2, seconds=40, what="second call")
    assert caller.heard() == [
        {"message_id": str(message_id), "state": "undelivered", "sequence": 1},
        {"message_id": str(message_id), "state": "delivered", "sequence": 2},
    ]
    assert all(one.told_at for one in events(service, message_id))


SECRET = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"


@pytest.fixture
def endpoint(service: Service, tmp_path: Path) -> Iterator[Receiver]:
    """An endpoint by TLS, which the stack's callbacks' worker knows as `crm`."""
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    config = Path(shutil.copytree(CONFIG, tmp_path / "config"))
    with a_receiver(tls) as receiver, pytest.MonkeyPatch.context() as patch:
        (config / "endpoints.toml").write_text(
            f"ports = [{receiver.port}]\n"
            'private_networks = ["127.0.0.0/8", "::1/128"]\n'
            f'ca_file = "{tmp_path / "ca.pem"}"\n'
            f'[endpoints.crm]\nurl = "{receiver.url("localhost")}"\n'
        )
        patch.setitem(service.stack.environ, "CASCADE_CONFIG_DIR", str(config))
        patch.setitem(service.stack.environ, "CASCADE_ENDPOINT_CRM_SECRETS", SECRET)
        with service.without("collector"):
            sync(service.engine, config)
        yield receiver
    with service.without("collector"):
        pass  # it knows the old files again


def test_an_endpoint_hears_of_a_delivery_by_tls_and_can_verify_who_tells_it(
    service: Service, endpoint: Receiver
) -> None:
    message_id = service.cascade.send(
        to=phone("33333", 9),
        text=TEXT,
        templates=TEMPLATES,
        variables=VARIABLES,
        on_status=OnStatus(endpoint="crm"),
        key="order-7318",
    )
    until(lambda: endpoint.heard, seconds=40, what="webhook")

    [heard] = endpoint.heard
    told = Webhook(SECRET).verify(heard.body, dict(heard.headers))
    assert told["type"] == "message.delivered"
    assert told["data"] == {
        "id": str(message_id),
        "state": "delivered",
        "sequence": 1,
        "success_met": True,
        "channel": "vk",
        "key": "order-7318",
    }
    until(lambda: events(service, message_id)[0].told_at, seconds=10, what="end of the call")
