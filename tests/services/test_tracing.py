from __future__ import annotations

import subprocess
import sys
import uuid

from collections.abc import Callable, Iterator, Sequence

import pytest

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cascade import tracing
from cascade.domain.state import Channel, Lane
from cascade.otel import Exporting
from cascade.services.cancel import cancel
from cascade.services.deliver import deliver
from cascade.services.deployment import Deployment
from tests.services.courier import Courier, Desk
from tests.services.journey import ACCOUNTS, PHONE, WORDS, Journey, a_step


Deployed = Callable[..., Deployment]


class Traced:
    """Messages that are delivered by calls at `desk`, and the spans that came of it."""

    def __init__(self, journey: Journey, deployment: Deployment, desk: Desk) -> None:
        self.exporter = InMemorySpanExporter()
        self.journey = journey
        self._deployment = deployment
        self._desk = desk

    def call(self, message_id: uuid.UUID, answer: str) -> None:
        """Delivers the message's newest attempt; the provider answers so."""
        self._desk.says = lambda _line: answer
        attempt = self.journey.attempt(message_id)
        deliver(self._deployment, Channel(attempt.channel), Lane.NORMAL, [attempt.id])

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def told(self) -> list[tuple[str, str | None, str]]:
        """Each span's name, its parent's name and its outcome or state; sorted."""
        names = {span.context.span_id: span.name for span in self.spans if span.context}
        return sorted(
            (span.name, names[span.parent.span_id] if span.parent else None, _outcome(span))
            for span in self.spans
        )


def _outcome(span: ReadableSpan) -> str:
    about = dict(span.attributes or {})
    return str(about.get("cascade.outcome", about.get("cascade.state")))


@pytest.fixture
def traced(journey: Journey, deployed: Deployed, desk: Desk) -> Iterator[Traced]:
    couriers = [
        Courier(url=desk.url, account=account, channel=channel)
        for channel, account in ACCOUNTS.items()
    ]
    traced = Traced(journey, deployed(*couriers), desk)
    tracing.record_to(Exporting(SimpleSpanProcessor(traced.exporter)))
    yield traced
    tracing.stop()


@pytest.mark.integration
def test_a_message_that_falls_over_two_channels_is_one_trace(journey: Journey, traced: Traced):
    journey.policy(*(a_step(channel) for channel in (Channel.VK, Channel.OK, Channel.VIBER)))
    message_id = journey.send()
    traced.call(message_id, "unsupported")
    traced.call(message_id, "accepted")
    journey.advance(63)
    journey.tick()
    traced.call(message_id, "accepted")
    journey.deliver(message_id)

    assert {span.context.trace_id for span in traced.spans if span.context} == {message_id.int}
    assert traced.told() == [
        ("call ok", "step ok", "accepted"),
        ("call viber", "step viber", "accepted"),
        ("call vk", "step vk", "unsupported"),
        ("expiry", "step ok", "expired"),
        ("message", None, "delivered"),
        ("receipt", "step viber", "delivered"),
        ("step ok", "message", "expired"),
        ("step viber", "message", "delivered"),
        ("step vk", "message", "unsupported"),
    ]


@pytest.mark.integration
def test_spans_last_as_long_as_what_they_tell_of(journey: Journey, traced: Traced):
    journey.policy(a_step(Channel.VK, ttl=60), a_step(Channel.OK))
    message_id = journey.send()
    traced.call(message_id, "accepted")
    journey.advance(65)
    journey.tick()
    traced.call(message_id, "unsupported")

    seconds = {
        span.name: ((span.end_time or 0) - (span.start_time or 0)) / 1e9 for span in traced.spans
    }
    assert 65 <= seconds["message"] < 68
    assert 65 <= seconds["step vk"] <= seconds["message"]
    assert 5 <= seconds["expiry"] < 8
    assert seconds["call vk"] < 3


@pytest.mark.integration
def test_no_span_holds_a_number_or_a_text(journey: Journey, traced: Traced):
    message_id = journey.send()
    traced.call(message_id, "accepted")
    journey.deliver(message_id)

    written = "".join(span.to_json() for span in traced.spans)
    assert "call vk" in written
    assert PHONE[1:] not in written
    assert WORDS not in written


@pytest.mark.integration
def test_a_cancelled_message_ends_its_trace(journey: Journey, traced: Traced):
    cancel(journey.ledger, journey.send())

    assert traced.told() == [
        ("message", None, "cancelled"),
        ("step vk", "message", "cancelled"),
    ]


@pytest.mark.integration
def test_of_a_share_each_message_is_traced_whole_or_not_at_all(journey: Journey, traced: Traced):
    tracing.record_to(Exporting(SimpleSpanProcessor(traced.exporter)), share=0.5)
    messages = [journey.send() for _ in range(12)]
    for one in messages:
        traced.call(one, "accepted")
        journey.deliver(one)

    traces = [span.context.trace_id for span in traced.spans if span.context]
    assert all(traces.count(one.int) in {0, 4} for one in messages)
    picked = {one for one in messages if one.int % (1 << 62) < (1 << 61)}
    assert set(traces) == {one.int for one in picked}


WITHOUT = """
import os, sys
{environment}
from cascade import tracing
import cascade.services.deliver, cascade.services.collect, cascade.services.tick
tracing.start()
print(any(name.startswith("opentelemetry") for name in sys.modules), tracing._tracing)
"""


def in_a_new_process(environment: str) -> str:
    code = WITHOUT.format(environment=environment)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip() + done.stderr.strip()


def test_without_an_endpoint_nothing_is_imported():
    forget = "[os.environ.pop(name, None) for name in list(os.environ) if name[:5] == 'OTEL_']"
    assert in_a_new_process(forget) == "False None"


def test_an_endpoint_without_the_packages_is_a_warning():
    missing = (
        "os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'] = 'http://127.0.0.1:1'\n"
        "sys.modules['opentelemetry'] = None"
    )
    assert "install cascade-delivery[tracing]" in in_a_new_process(missing)
