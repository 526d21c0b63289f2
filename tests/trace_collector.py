"""A collector of traces that listens on loopback and decodes what OTLP/HTTP sends."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class TraceCollector:
    """What has been received."""

    def __init__(self, url: str, answers: threading.Event) -> None:
        self.url = url
        self.answers = answers
        """While it is not set, requests are read and get no response."""
        self.asked = threading.Event()
        self.statuses: Iterator[int] = repeat(200)
        """What requests are answered with."""
        self.bodies: list[bytes] = []
        self.headers: dict[str, str] = {}
        """Of the latest request, their names in lower case."""

    def spans(self, trace_id: str | None = None) -> list[Span]:
        """Return the spans so far, of one trace or all."""
        found = [span for spans in self._by_resource().values() for span in spans]
        return [span for span in found if trace_id in {None, span.trace_id.hex()}]

    def resource_of(self, span: Span) -> dict[str, str]:
        """Return the attributes of the process that has sent a span."""
        for resource, spans in self._by_resource().items():
            if any(each.span_id == span.span_id for each in spans):
                return dict(resource)
        raise AssertionError(f"{span.name} has not been received")

    def _by_resource(self) -> dict[tuple[tuple[str, str], ...], list[Span]]:
        found: dict[tuple[tuple[str, str], ...], list[Span]] = {}
        for body in list(self.bodies):
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                about = [(each.key, each.value) for each in sent.resource.attributes]
                texts = [(key, value.string_value or str(value.int_value)) for key, value in about]
                spans = found.setdefault(tuple(texts), [])
                for scope in sent.scope_spans:
                    spans += scope.spans
        return found


@contextmanager
def collecting(*, hangs: bool = False) -> Iterator[TraceCollector]:
    """Yield a collector, which with `hangs` answers nothing until the end."""
    answers = threading.Event()
    if not hangs:
        answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.headers = {name.lower(): text for name, text in self.headers.items()}
            collector.asked.set()
            answers.wait()
            assert self.path == "/v1/traces"
            collector.bodies.append(body)
            self.send_response(next(collector.statuses))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = TraceCollector(f"http://127.0.0.1:{server.server_port}", answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        answers.set()
        server.shutdown()
        server.server_close()
