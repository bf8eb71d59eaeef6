"""What Prometheus would read."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cascade.gateway.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Scraped:
    """The samples of one scrape."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def sum(self, name: str) -> float:
        return sum(value for (found, _), value in self.samples.items() if found == name)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def read(page: str) -> Scraped:
    families = text_string_to_metric_families(page)
    return Scraped(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
    )


def scrape(metrics: Metrics) -> Scraped:
    return read(generate_latest(metrics.registry).decode())
