"""Sends spans by OTLP/HTTP. Imports OpenTelemetry, the extra `traces`: see `telemetry.traces`."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from telemetry.instruments import Counter
from telemetry.trace_context import Attributes, SpanKind, TraceContext

MAX_WAITING = 8192
"""Spans that wait for the collector; more are dropped."""
MAX_BATCH = 512
_EXPORT_MILLISECONDS = 1000.0
_REQUEST_SECONDS = 5.0
_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)


class SpanSender:
    """Makes spans and sends them: a thread does, each second. For one event loop."""

    def __init__(self, endpoint: str, resource: Attributes, dropped: Counter) -> None:
        """Send to the collector at the base URL `endpoint`; count in `dropped` what is not taken.

        `resource` says what the spans are of, beside this process.
        """
        self._dropped = dropped
        self._exporter = _CountingExporter(f"{endpoint.rstrip('/')}/v1/traces", dropped)
        self._ids = _GivenIds()
        self._submitted = 0
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=MAX_WAITING,
            max_export_batch_size=MAX_BATCH,
            schedule_delay_millis=_EXPORT_MILLISECONDS,
        )
        process: Attributes = {
            "service.instance.id": str(uuid4()),
            "host.name": socket.gethostname(),
            "process.pid": os.getpid(),
        }
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({**process, **resource}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("slipstream")

    def send(
        self,
        context: TraceContext,
        name: str,
        start: float,
        end: float,
        *,
        kind: SpanKind,
        attributes: Attributes | None,
        error: str | None,
        links: Sequence[TraceContext],
    ) -> None:
        """Make a span that is sent soon, or count it as dropped; see `Tracer.record`."""
        if self._submitted - self._exporter.settled >= MAX_WAITING:
            self._dropped.add()
            return
        self._submitted += 1
        parent = Context()
        if context.parent_id is not None:
            above = _span_context(context, context.parent_id)
            parent = trace.set_span_in_context(trace.NonRecordingSpan(above), parent)
        self._ids.next = context
        span = self._tracer.start_span(
            name,
            parent,
            kind=trace.SpanKind[kind.upper()],
            attributes=attributes,
            links=[trace.Link(_span_context(link, link.span_id)) for link in links],
            start_time=int(start * 1e9),
        )
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(trace.StatusCode.ERROR)
        span.end(int(max(start, end) * 1e9))

    def shut_down(self) -> None:
        """Send what is left, and end the thread. Blocks."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


class _CountingExporter(OTLPSpanExporter):
    def __init__(self, url: str, dropped: Counter) -> None:
        super().__init__(endpoint=url, timeout=_REQUEST_SECONDS)
        self._dropped_spans = dropped
        self.settled = 0
        """Spans that were sent, or are lost."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        delivered = False
        try:
            result = super().export(spans)
            delivered = result is SpanExportResult.SUCCESS
            return result
        finally:
            if not delivered:
                self._dropped_spans.add(len(spans))
            self.settled += len(spans)


class _GivenIds(RandomIdGenerator):
    """Gives a span the identity that was chosen before."""

    next: TraceContext

    def generate_span_id(self) -> int:
        return self.next.span_id

    def generate_trace_id(self) -> int:
        return self.next.trace_id


def _span_context(context: TraceContext, span_id: int) -> trace.SpanContext:
    state = None
    if context.tracestate is not None:
        state = trace.TraceState.from_header([context.tracestate])
    return trace.SpanContext(
        context.trace_id, span_id, is_remote=True, trace_flags=_SAMPLED, trace_state=state
    )
