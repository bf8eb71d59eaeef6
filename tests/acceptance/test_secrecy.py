from __future__ import annotations

import base64
import json
import uuid

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from prometheus_client import generate_latest

from cascade.gateway.metrics import Metrics
from tests.acceptance.secrecy import database_contents, found, secrets
from tests.acceptance.service import VARIABLES, Service
from tests.acceptance.troubles import TO, make_trouble


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What callers were told, and what the broker was, while things went wrong."""

    exceptions: list[str]
    overheard: list[str]


@pytest.fixture(scope="module")
def trouble(service: Service) -> Trouble:
    with service.broker().overheard() as overheard:
        return Trouble(make_trouble(service), overheard)


@pytest.fixture(scope="module")
def wanted(service: Service, campaign: dict[str, uuid.UUID], trouble: Trouble) -> Collection[str]:
    """Every number that was ever used, and the words that were sent to them."""
    ledger = [*service.sandbox_events("accepted"), *service.sandbox_events("unsupported")]
    return secrets({*TO, *(event["recipient"] for event in ledger)})


def test_the_search_finds_a_number_and_a_text_wherever_they_stand(
    service: Service, wanted: Collection[str]
) -> None:
    assert found(service.stack.sandbox_ledger.read_text("utf-8"), wanted)
    for one in [*[*wanted][:20], VARIABLES["name"]]:
        assert found(f"before{one}after", [one])
        assert found(one.encode().hex().upper(), [one])
        assert found(f"?to={quote(one)}", [one])
        assert found(repr(f"[{one}]".encode()), [one])
        assert found(json.dumps(json.dumps(one)), [one])
        assert found(f'{{"body": "{_base64(f"[[{one}]]".encode())}"}}', [one])
        assert found(_base64(_base64(one.encode()).encode() + b"."), [one])
        assert found(_base64(b"\xff\x00" + one.encode() + b"\xff"), [one])


@pytest.mark.parametrize("spelling", ["+{}", "{}", "8{}", "8 ({0:.3}) {1}-{2}-{3}"])
def test_the_search_finds_a_number_in_every_usual_spelling(spelling: str) -> None:
    number = "9161234567" if "(" in spelling or spelling == "8{}" else "79161234567"
    written = spelling.format(number, number[3:6], number[6:8], number[8:])
    assert found(f"x {written} y", ["9161234567"])
    assert found(f"x {written} y", ["9161234568"]) == []


def test_the_broker_knows_no_number_and_no_text(service: Service, wanted: Collection[str]) -> None:
    contents = list(service.broker().contents())
    assert any("vk.normal" in part for part in contents)
    assert found("\n".join(contents), wanted) == []


def test_the_broker_was_never_told_a_number_or_a_text(
    trouble: Trouble, wanted: Collection[str]
) -> None:
    assert any("deliver.vk" in part for part in trouble.overheard)
    assert found("\n".join(trouble.overheard), wanted) == []


def test_no_exception_tells_a_number_or_a_text(trouble: Trouble, wanted: Collection[str]) -> None:
    assert any("IntegrityError" in one for one in trouble.exceptions)
    assert any("InvalidInputError" in one for one in trouble.exceptions)
    assert found("\n".join(trouble.exceptions), wanted) == []


def test_the_metrics_tell_no_number_and_no_text(service: Service, wanted: Collection[str]) -> None:
    accounts = ["notify-vk", "smsc"]
    metrics = Metrics(engine=service.engine, queue_lengths=dict, accounts=accounts)
    metrics.answered(TO[0], 404)
    page = generate_latest(metrics.registry).decode()
    assert 'cascade_webhooks_total{account="unknown"' in page
    assert found(page, wanted) == []


def test_the_logs_know_no_number_and_no_text(
    service: Service, wanted: Collection[str], server_home: Path
) -> None:
    logs = {path.name: path for path in (service.stack.directory / "logs").iterdir()}
    assert {"vk.log", "sms.log", "collector.log", "gateway.log", "sandbox.log"} <= set(logs)
    for name in ("vk.log", "collector.log", "beat.log"):  # a gateway has nothing to add
        assert " DEBUG " in logs[name].read_text("utf-8"), name
    # PostgreSQL and Valkey write one file, RabbitMQ several.
    servers = (*server_home.glob("*/log"), *server_home.glob("*/log/*"))
    for path in [*logs.values(), *(one for one in servers if one.is_file())]:
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


def test_flowers_pages_of_failed_tasks_know_no_number_and_no_text(
    service: Service, trouble: Trouble, wanted: Collection[str]
) -> None:
    failed = service.flower("/api/tasks?limit=10000&state=FAILURE").json()
    assert any("IntegrityError" in one["exception"] for one in failed.values())
    for name in failed:
        assert found(service.flower(f"/task/{name}").text, wanted) == []


def _base64(said: bytes) -> str:
    return base64.b64encode(said).decode()
