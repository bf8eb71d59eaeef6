"""Spans to an OTLP collector, in batches and in the background; needs the extra `tracing`.

The exporter is configured as anywhere, by OTEL_EXPORTER_OTLP_… and OTEL_BSP_….
"""

from __future__ import annotations

import os

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from typing_extensions import override

from cascade.span import Recorder, Span


class Exporting(Recorder):
    """Turns spans into OpenTelemetry's, with the ids that they name. For one thread."""

    def __init__(self, processor: SpanProcessor | None = None) -> None:
        """`processor` takes the spans; a batch exporter of the environment's by default."""
        service = os.environ.get("OTEL_SERVICE_NAME", "cascade")
        self._ids = _Ids()
        # Whether a message is traced is said by its id: a sampler would judge each hop anew.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": service}),
            id_generator=self._ids,
        )
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("cascade")

    @override
    def record(self, span: Span) -> None:
        self._ids.trace_id, self._ids.span_id = span.trace_id, span.id
        self._tracer.start_span(
            span.name,
            context=_under(span),
            attributes=dict(span.attributes),
            start_time=span.start,
        ).end(span.end)

    @override
    def close(self) -> None:
        self._provider.shutdown()


class _Ids(IdGenerator):
    """Gives the ids that were asked for."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id: int | None = None
        self._random = RandomIdGenerator()

    @override
    def generate_trace_id(self) -> int:
        return self.trace_id

    @override
    def generate_span_id(self) -> int:
        return self._random.generate_span_id() if self.span_id is None else self.span_id


def _under(span: Span) -> Context:
    """The context of the span's parent, which this process need not have seen."""
    if span.parent is None:
        return Context()
    parent = SpanContext(
        span.trace_id, span.parent, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return set_span_in_context(NonRecordingSpan(parent), Context())
