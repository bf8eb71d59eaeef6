"""The dashboard, the scrape's settings and the handbook speak of the metrics that there are."""

from __future__ import annotations

import json
import re

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from prometheus_client import generate_latest

from cascade.gateway.metrics import Metrics
from cascade.services.deployment import Ledger
from cascade.storage.endpoints import sync_endpoints
from tests.gateway.scraped import scrape


pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "cascade.json").read_text("utf-8"))
HANDBOOK = (ROOT / "docs" / "operations.md").read_text("utf-8")
NAME = re.compile(r"\bcascade_[a-z_]+")
OURS = re.compile(r"# TYPE (cascade_\w+) (\w+)")


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


@pytest.fixture
def metrics(ledger: Ledger) -> Metrics:
    with ledger.engine.begin() as connection:
        sync_endpoints(connection, ["shop"])
    metrics = Metrics(engine=ledger.engine, queue_lengths=lambda: {"tick": 0}, accounts={"smsc"})
    metrics.answered("smsc", 200)
    return metrics


def test_every_metric_on_the_dashboard_exists(metrics: Metrics):
    shown = set(NAME.findall(" ".join(expressions())))

    assert shown <= scrape(metrics).names
    assert len(shown) > 10


def test_every_metric_is_on_the_dashboard_and_in_the_handbook(metrics: Metrics):
    page = generate_latest(metrics.registry).decode()
    families = {name for name, _ in OURS.findall(page) if not name.endswith("_created")}
    shown = " ".join(expressions())

    assert len(families) == 20
    assert [name for name in families if f"| `{name}` |" not in HANDBOOK] == []
    assert [name for name in families if name not in shown] == []


def test_every_metric_in_the_handbook_exists(metrics: Metrics):
    told = set(NAME.findall(HANDBOOK))
    page = generate_latest(metrics.registry).decode()

    assert told <= {name for name, _ in OURS.findall(page)}


def test_the_panels_ask_the_source_that_the_viewer_chooses():
    [variable] = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    sources = {
        target["datasource"]["uid"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }
    assert sources == {f"${{{variable['name']}}}"}


def test_no_two_panels_lie_on_the_same_place():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_prometheus_scrapes_the_port_that_the_gateway_is_given():
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    [job] = scraped["scrape_configs"]
    [[target]] = [one["targets"] for one in job["static_configs"]]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

    host, _, port = target.partition(":")
    command = compose["services"][host]["command"]
    assert command[command.index("--metrics-port") + 1] == port
