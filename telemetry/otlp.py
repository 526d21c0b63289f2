"""Sends spans by OTLP/HTTP. Imports OpenTelemetry, the extra `traces`: see `telemetry.traces`.

Spans are encoded here instead of by OpenTelemetry's SDK, whose span objects cost several times as
much: `docs/adr/0063-spans-of-measured-times.md` has the figures.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue
from uuid import uuid4

import urllib3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, SpanFlags, Status
from opentelemetry.sdk.resources import Resource as DescribedResource
from opentelemetry.util.re import parse_env_headers
from structlog import get_logger

from telemetry.instruments import Counter
from telemetry.trace_context import Attributes, RecordedSpan

MAX_WAITING = 8192
"""Spans that wait for the collector; more are dropped."""
MAX_BATCH = 512
_GATHER_SECONDS = 1.0
_REQUEST_SECONDS = 5.0
_ATTEMPTS = 3
_RETRY_SECONDS = 1.0
_SUCCESS = range(200, 300)
_RETRYABLE = frozenset({429, 502, 503, 504})
"""https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes"""
_HEADERS_OF_TRACES = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
_KINDS = {
    "internal": Span.SPAN_KIND_INTERNAL,
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
}
_FLAGS = 0x01 | SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_KEPT_ATTRIBUTES = 1024
"""Sets of attributes that many spans have: to make one costs several times as much as a span."""
_NANOSECONDS = 1e9


class SpanSender:
    """Keeps spans until a thread has sent them, each second. For one event loop."""

    def __init__(self, endpoint: str, resource: Attributes, dropped: Counter) -> None:
        """Send to the collector at the base URL `endpoint`; count in `dropped` what is not taken.

        `resource` says what the spans are of, beside this process.
        """
        self._dropped = dropped
        self._waiting: SimpleQueue[RecordedSpan | None] = SimpleQueue()  # None: the end
        self._submitted = 0
        self._settled = 0
        self._full = threading.Event()
        """Set when a batch has gathered, and at the end: the thread waits no longer for more."""
        self._ends = threading.Event()
        self._collector = _Collector(f"{endpoint.rstrip('/')}/v1/traces", self._ends)
        process: Attributes = {
            "service.instance.id": str(uuid4()),
            "host.name": socket.gethostname(),
            "process.pid": os.getpid(),
        }
        # with what the environment says, OTEL_RESOURCE_ATTRIBUTES
        described = DescribedResource.create({**process, **resource}).attributes
        self._resource = Resource(
            attributes=[_attribute(key, given) for key, given in described.items()]
        )
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def send(self, span: RecordedSpan) -> None:
        """Send a span soon, or count it as dropped."""
        waiting = self._submitted - self._settled
        if waiting >= MAX_WAITING:
            self._dropped.add()
            return
        self._submitted += 1
        self._waiting.put(span)
        if waiting + 1 >= MAX_BATCH:
            self._full.set()

    def shut_down(self) -> None:
        """Send what is left, and end the thread. Blocks."""
        self._ends.set()
        self._waiting.put(None)
        self._full.set()
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            found = [self._waiting.get()]
            self._full.wait(_GATHER_SECONDS)
            self._full.clear()
            with suppress(Empty):
                while True:
                    found.append(self._waiting.get_nowait())
            recorded = [each for each in found if each is not None]
            ended = len(recorded) < len(found)
            for start in range(0, len(recorded), MAX_BATCH):
                self._send(recorded[start : start + MAX_BATCH])
        self._collector.close()

    def _send(self, recorded: Sequence[RecordedSpan]) -> None:
        taken = False
        try:
            taken = self._collector.takes(_encoded(self._resource, recorded))
        except Exception as error:  # noqa: BLE001 - such as a header that cannot be sent
            get_logger(__name__).warning("traces_not_delivered", reason=type(error).__name__)
        if not taken:
            self._dropped.add(len(recorded))
        self._settled += len(recorded)


class _Collector:
    """The other end. For one thread."""

    def __init__(self, url: str, ends: threading.Event) -> None:
        """Deliver to `url`; nothing is tried again once `ends` is set."""
        # OpenTelemetry's own variables
        given = os.environ.get(_HEADERS_OF_TRACES) or os.environ.get(_HEADERS)  # noqa: TID251
        headers = parse_env_headers(given or "", liberal=True)
        self._http = urllib3.PoolManager(
            headers={**headers, "content-type": "application/x-protobuf"},
            timeout=_REQUEST_SECONDS,
            retries=False,
        )
        self._url = url
        self._ends = ends
        self._failure: str | None = None

    def takes(self, body: bytes) -> bool:
        """Deliver a request, and return whether the collector has taken it."""
        failure, again = self._post(body)
        attempts = 1
        while again and attempts < _ATTEMPTS and not self._ends.wait(_RETRY_SECONDS):
            failure, again = self._post(body)
            attempts += 1
        if (failure is None) != (self._failure is None):
            log = get_logger(__name__)
            if failure is None:
                log.info("traces_delivered_again", collector=self._url)
            else:
                log.warning("traces_not_delivered", collector=self._url, reason=failure)
        self._failure = failure
        return failure is None

    def _post(self, body: bytes) -> tuple[str | None, bool]:
        """Return what went wrong, None for nothing, and whether another attempt may succeed."""
        try:
            status = self._http.request("POST", self._url, body=body).status
        except urllib3.exceptions.TimeoutError as error:
            return type(error).__name__, False  # others wait meanwhile
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__, True
        if status in _SUCCESS:
            return None, False
        return f"HTTP {status}", status in _RETRYABLE

    def close(self) -> None:
        self._http.clear()


def _encoded(resource: Resource, recorded: Sequence[RecordedSpan]) -> bytes:
    """Return a request's body with spans: the protobuf message `ExportTraceServiceRequest`."""
    request = ExportTraceServiceRequest()
    of_process = request.resource_spans.add(resource=resource)
    spans = of_process.scope_spans.add(scope=InstrumentationScope(name="slipstream"))
    for each in recorded:
        _add(spans, each)
    return request.SerializeToString()


def _add(spans: ScopeSpans, recorded: RecordedSpan) -> None:
    context, name, start, end, kind, attributes, error, links = recorded
    span = spans.spans.add(
        trace_id=context.trace_id.to_bytes(16),
        span_id=context.span_id.to_bytes(8),
        name=name,
        kind=_KINDS[kind],
        start_time_unix_nano=int(start * _NANOSECONDS),
        end_time_unix_nano=int(max(start, end) * _NANOSECONDS),
        flags=_FLAGS,
    )
    if context.parent_id is not None:
        span.parent_span_id = context.parent_id.to_bytes(8)
        span.flags = _FLAGS | _REMOTE
    if context.tracestate is not None:
        span.trace_state = context.tracestate
    if attributes is not None:
        span.MergeFrom(_with_attributes(tuple(attributes.items())))
    if error is not None:
        span.MergeFrom(_with_attributes((("error.type", error),)))
        span.status.code = Status.STATUS_CODE_ERROR
    for link in links:
        span.links.add(
            trace_id=link.trace_id.to_bytes(16),
            span_id=link.span_id.to_bytes(8),
            trace_state=link.tracestate or "",
            flags=_FLAGS | _REMOTE,
        )


@lru_cache(_KEPT_ATTRIBUTES)
def _with_attributes(items: tuple[tuple[str, str | int], ...]) -> Span:
    """Return a span that has these attributes and nothing else."""
    return Span(attributes=[_attribute(*item) for item in items])


def _attribute(key: str, value: object) -> KeyValue:
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=str(value)))
