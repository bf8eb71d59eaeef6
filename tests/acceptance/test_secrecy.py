from __future__ import annotations

import base64
import uuid

from collections.abc import Collection

import pytest

from tests.acceptance.secrecy import database_contents, found, secrets
from tests.acceptance.service import Service


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


@pytest.fixture
def wanted(service: Service, campaign: dict[str, uuid.UUID]) -> Collection[str]:
    """Every number that was ever called, and the words that were sent to them."""
    ledger = [*service.sandbox_events("accepted"), *service.sandbox_events("unsupported")]
    return secrets({event["recipient"] for event in ledger})


def test_the_search_finds_a_number_and_a_text_wherever_they_stand(
    service: Service, wanted: Collection[str]
) -> None:
    assert found(service.stack.sandbox_ledger.read_text("utf-8"), wanted)
    for one in wanted:
        assert found(f"before{one}after", [one])
        assert found(one.encode().hex(), [one])
        assert found(f'{{"body": "{_base64(f"[[{one}]]")}"}}', [one])


def test_the_broker_knows_no_number_and_no_text(service: Service, wanted: Collection[str]) -> None:
    contents = list(service.broker().contents())
    assert any("vk.normal" in part for part in contents)
    assert found("\n".join(contents), wanted) == []


def test_the_logs_know_no_number_and_no_text(service: Service, wanted: Collection[str]) -> None:
    logs = {path.name: path for path in (service.stack.directory / "logs").iterdir()}
    assert {"vk.log", "sms.log", "collector.log", "gateway.log", "sandbox.log"} <= set(logs)
    for path in logs.values():
        assert found(path.read_text("utf-8"), wanted) == [], path.name


def test_the_database_knows_no_number_and_no_text(
    service: Service, wanted: Collection[str]
) -> None:
    rows = "\n".join(database_contents(service))
    assert all(str(one) in rows for (one,) in service.rows("SELECT id FROM cascade.messages"))
    assert found(rows, wanted) == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/tasks?limit=10000",
        "/api/workers?refresh=1",
        "/tasks",
        "/workers",
        "/worker/sms@cascade",
        "/broker",
        "/metrics",
    ],
)
def test_flower_knows_no_number_and_no_text(
    service: Service, wanted: Collection[str], path: str
) -> None:
    answer = service.flower(path)
    assert answer.status_code == 200
    assert found(answer.text, wanted) == []


def _base64(said: str) -> str:
    return base64.b64encode(said.encode()).decode()
