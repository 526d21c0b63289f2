"""Traces: spans of calls and runs, sent by OTLP/HTTP to a collector.

Spans are made of times that were measured anyway, after the work. Nothing of OpenTelemetry is
imported unless a process opens a tracer: its packages are the extra `traces`.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from telemetry.instruments import Counter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_MAX_WAITING = 8192
"""Spans that wait for the collector; more are dropped."""
_MAX_BATCH = 512
_EXPORT_MILLISECONDS = 1000.0
_REQUEST_SECONDS = 5.0
_CLOSE_SECONDS = 2.0

SpanKind = Literal["internal", "server", "client"]


def is_installed() -> bool:
    """Whether the packages of the extra `traces` are installed."""
    with suppress(ModuleNotFoundError):
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    return False


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The identity of one span, which exists before the span is recorded."""

    trace_id: int
    span_id: int
    parent_id: int | None = None
    sampled: bool = True

    @property
    def traceparent(self) -> str | None:
        """The header by which others make spans below this one (W3C); None: it is not sampled."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-01" if self.sampled else None

    def child(self) -> TraceContext:
        """Return the identity of a new span below this one."""
        return TraceContext(self.trace_id, secrets.randbits(64) or 1, self.span_id)


UNSAMPLED = TraceContext(0, 0, sampled=False)


def continued(traceparent: str | None) -> TraceContext | None:
    """Return a new span's identity below a sampled `traceparent`; None: there is none."""
    found = _parsed(traceparent)
    return found.child() if found is not None and found.sampled else None


class Tracer:
    """Records spans, for one event loop. A thread sends them; a slow collector costs only spans."""

    def __init__(
        self, endpoint: str, *, sample_rate: float, service: str, dropped: Counter
    ) -> None:
        """Send spans to `endpoint`, the base URL of an OTLP/HTTP collector.

        Args:
            endpoint: such as `http://127.0.0.1:4318`; `/v1/traces` is added.
            sample_rate: share of the calls without `traceparent` that are traced, from 0 to 1.
            service: `service.name` of the spans.
            dropped: counts spans that were not delivered.

        Raises:
            ModuleNotFoundError: the extra `traces` is not installed.
        """
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        tracer = self
        self._dropped = dropped
        self._sample_rate = sample_rate
        self._next = UNSAMPLED
        self._submitted = 0
        self._settled = 0

        class Exporter(OTLPSpanExporter):
            def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
                try:
                    result = super().export(spans)
                except Exception:
                    dropped.add(len(spans))
                    raise
                else:
                    if result.name != "SUCCESS":
                        dropped.add(len(spans))
                    return result
                finally:
                    tracer._settled += len(spans)

        class Ids(RandomIdGenerator):
            def generate_span_id(self) -> int:
                return tracer._next.span_id

            def generate_trace_id(self) -> int:
                return tracer._next.trace_id

        exporter = Exporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_REQUEST_SECONDS)
        self._processor = BatchSpanProcessor(
            exporter,
            max_queue_size=_MAX_WAITING,
            max_export_batch_size=_MAX_BATCH,
            schedule_delay_millis=_EXPORT_MILLISECONDS,
        )
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": service}),
            id_generator=Ids(),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("slipstream")

    def begin(self, traceparent: bytes | None) -> TraceContext:
        """Return the identity of a call's span: the caller decides whether it is sampled.

        Without a valid `traceparent`, chance does.
        """
        given = None if traceparent is None else _parsed(traceparent.decode("latin-1"))
        if given is not None:
            return given.child() if given.sampled else UNSAMPLED
        if random.random() >= self._sample_rate:  # nosec B311 # no secret
            return UNSAMPLED
        return TraceContext(secrets.randbits(128) or 1, secrets.randbits(64) or 1)

    def record(
        self,
        context: TraceContext,
        name: str,
        start: float,
        end: float,
        *,
        kind: SpanKind = "internal",
        attributes: Mapping[str, str | int] | None = None,
        error: str | None = None,
    ) -> None:
        """Record a span, from `start` to `end` in seconds since the epoch.

        `error` is a stable code, never a message: messages may contain input.
        """
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.context import Context  # noqa: PLC0415

        if self._submitted - self._settled >= _MAX_WAITING:
            self._dropped.add()
            return
        self._submitted += 1
        parent = None
        if context.parent_id is not None:
            above = trace.SpanContext(
                context.trace_id,
                context.parent_id,
                is_remote=True,
                trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
            )
            parent = trace.set_span_in_context(trace.NonRecordingSpan(above), Context())
        self._next = context
        span = self._tracer.start_span(
            name,
            parent or Context(),
            kind=trace.SpanKind[kind.upper()],
            attributes=attributes,
            start_time=int(start * 1e9),
        )
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(trace.StatusCode.ERROR)
        span.end(int(max(start, end) * 1e9))

    async def close(self) -> None:
        """Send what is left, for at most two seconds."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="traces shutdown", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await done.wait()


def _parsed(traceparent: str | None) -> TraceContext | None:
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    if not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, sampled=bool(flags & 1))
