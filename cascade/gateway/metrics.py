"""The gateway's metrics, for Prometheus.

Counters count from the first scrape of this process on: what happened before it, or while no
gateway ran, is in the books (`cascade report`), not here. They take in what was committed since the
last scrape, by an index, so a scrape costs the same on a large table as on a small one; they lag
behind by a second, or by the age of the oldest writing transaction, a minute at most. A database
that cannot be read leaves them where they are, and what happened meanwhile follows.

All gateways read the same database, so each counts everything: take `max without (instance)` of
their series, not the sum. Only `cascade_webhooks_total` is a gateway's own, to be added up.

Money is added up exactly, and shown as a float, since Prometheus knows nothing else.
"""

from __future__ import annotations

import time

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine
from typing_extensions import override

from cascade.gateway.source import PATIENCE, Source
from cascade.gateway.totals import Histogram, Totals
from cascade.storage import metrics
from cascade.storage.database import transaction


CATCHING_UP = 2.0  # seconds of a scrape for what happened in a long pause between scrapes

Samples = Iterable[tuple[Iterable[str], float]]


class Metrics(Collector):
    """What `registry` shows: the database's and the broker's state, and webhooks answered."""

    def __init__(
        self,
        *,
        engine: Engine,
        queue_lengths: Callable[[], Mapping[str, int]],
        accounts: Collection[str],
        patience: float = PATIENCE,
    ) -> None:
        """`engine` should be of its own: a scrape must not take the webhooks' connections."""
        self._engine = engine
        self._accounts = accounts
        self._totals = Totals()
        self._position: metrics.Position | None = None
        self._database = Source("database", self._read_database, patience=patience)
        self._broker = Source("broker", queue_lengths, patience=patience)
        self.registry = CollectorRegistry()
        self._webhooks = Counter(
            "cascade_webhooks",
            "Webhooks answered by this gateway, by account and HTTP status.",
            ["account", "status"],
            registry=self.registry,
        )
        self._answered: dict[tuple[str, int], Counter] = {}
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def answered(self, account: str, status: int) -> None:
        """Counts one webhook; accounts that are none of ours are `unknown`, whatever they say."""
        of_account = self._answered.get((account, status))
        if of_account is None:
            label = account if account in self._accounts else "unknown"
            of_account = self._webhooks.labels(label, str(status))
            if label == account:  # names that anybody may send are not kept
                self._answered[account, status] = of_account
        of_account.inc()

    def describe(self) -> Iterable[Metric]:
        """Nothing: being registered must not read the database."""
        return []

    @override
    def collect(self) -> Iterator[Metric]:
        """One scrape. What cannot be read is left out, and `cascade_up` says so."""
        standing = self._database.read()
        lengths = self._broker.read()
        up = {"database": standing is not None, "broker": lengths is not None}
        yield _gauges(
            "cascade_up",
            "Whether the gateway's last look at it succeeded.",
            ["part"],
            (([part], float(answers)) for part, answers in up.items()),
        )
        yield from _counted(self._totals)
        if standing is not None:
            yield from _standing(standing)
        if lengths is not None:
            yield _gauges(
                "cascade_queue_messages",
                "Celery messages that wait in a queue.",
                ["queue"],
                (([queue], length) for queue, length in lengths.items()),
            )

    def _read_database(self) -> metrics.Standing:
        stop_at = time.monotonic() + CATCHING_UP
        while transaction(self._engine, self._count) and time.monotonic() < stop_at:
            pass
        return transaction(self._engine, _read_standing)

    def _count(self, connection: Connection) -> bool:
        """Takes in what has happened; whether there is more. Safe to be run again."""
        metrics.be_brief(connection)
        if self._position is None:
            self._totals = self._totals.knowing(metrics.rated(connection))
            self._position = metrics.here(connection)
            return False
        more = metrics.increments(connection, self._position)
        self._position, self._totals = more.position, self._totals.plus(more)
        return more.is_behind


def _read_standing(connection: Connection) -> metrics.Standing:
    metrics.be_brief(connection)
    return metrics.standing(connection)


def _counted(totals: Totals) -> Iterator[Metric]:
    yield _counters(
        "cascade_attempts",
        "Attempts that have ended, by channel and outcome.",
        ["channel", "outcome"],
        totals.attempts.items(),
    )
    yield _counters(
        "cascade_messages",
        "Messages by the state they came into; in_progress: accepted.",
        ["state"],
        (([state], number) for state, number in totals.messages.items()),
    )
    yield _times(totals.times)
    yield _counters(
        "cascade_charged",
        "Money charged for deliveries.",
        ["account", "channel", "currency"],
        ((labels, float(amount)) for labels, amount in totals.charged.items()),
    )
    yield _counters(
        "cascade_unrated_charges",
        "Charges booked without an amount, because no rate was in force.",
        ["account", "channel"],
        totals.unrated.items(),
    )


def _times(times: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(
        "cascade_time_to_deliver_seconds",
        "From a message's acceptance, or its send_at, to its delivery on a channel.",
        labels=["channel"],
    )
    ends = [*(str(float(end)) for end in metrics.BUCKETS), "+Inf"]
    for channel, histogram in times.items():
        buckets = list(zip(ends, accumulate(histogram.numbers), strict=True))
        family.add_metric([channel], buckets, histogram.seconds)
    return family


def _standing(now: metrics.Standing) -> Iterator[Metric]:
    yield _gauges(
        "cascade_due_lag_seconds",
        "Age of the oldest attempt that is due and not yet looked at.",
        ["lane"],
        (([lane], seconds) for lane, seconds in now.due_lag.items()),
    )
    yield _gauges(
        "cascade_endpoint_failing_seconds",
        "Since an endpoint takes no webhook; 0 while it does.",
        ["endpoint"],
        (([one.name], max(0.0, one.failing_for or 0)) for one in now.endpoints),
    )
    yield _gauges(
        "cascade_endpoint_disabled",
        "1 for an endpoint that is told nothing until it is enabled again.",
        ["endpoint"],
        (([one.name], float(one.disabled_for is not None)) for one in now.endpoints),
    )
    for name, help_text, value in (
        (
            "cascade_receipts_lag_seconds",
            "Age of the oldest receipt that nobody has looked at.",
            now.receipts_lag,
        ),
        (
            "cascade_receipts_set_aside",
            "Receipts that could not be applied for 72 hours, and wait for a person.",
            now.set_aside,
        ),
        ("cascade_tick_age_seconds", "Since the last tick.", now.tick_age),
        (
            "cascade_oldest_transaction_seconds",
            "Age of the oldest transaction that is open in the database.",
            now.oldest_transaction,
        ),
        (
            "cascade_books_discrepancies",
            "What the newest nightly reconciling found that does not agree.",
            now.discrepancies,
        ),
        (
            "cascade_reconciled_age_seconds",
            "Since the newest nightly reconciling; 0 before the first one.",
            now.reconciled_age,
        ),
        (
            "cascade_callbacks_overdue",
            "Callbacks that could be told to their callers now.",
            now.callbacks.overdue,
        ),
        (
            "cascade_callbacks_lag_seconds",
            "Since the oldest of those became due.",
            now.callbacks.lag,
        ),
        (
            "cascade_callbacks_given_up",
            "Callbacks whose callers were never told, and will not be.",
            now.callbacks.given_up,
        ),
    ):
        yield GaugeMetricFamily(name, help_text, value)


def _counters(name: str, help_text: str, labels: list[str], samples: Samples) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        family.add_metric(list(values), value)
    return family


def _gauges(name: str, help_text: str, labels: list[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        family.add_metric(list(values), value)
    return family
