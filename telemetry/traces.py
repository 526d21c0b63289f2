"""Traces: spans of calls and runs, sent by OTLP/HTTP to a collector.

Spans are made of times that were measured anyway, after the work. Nothing of OpenTelemetry is
imported unless a process opens a tracer: its packages are the extra `traces`.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec

from telemetry.instruments import Counter
from telemetry.trace_context import (
    UNSAMPLED,
    Attributes,
    RecordedSpan,
    SpanKind,
    TraceContext,
    parse,
)

_ENDPOINT = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_CLOSE_SECONDS = 2.0


def is_installed() -> bool:
    """Whether the packages of the extra `traces` are installed."""
    with suppress(ModuleNotFoundError):
        return None not in map(find_spec, ("opentelemetry.sdk.resources", "opentelemetry.proto"))
    return False


def check_endpoint(given: str) -> str:
    """Return a collector's base URL.

    Raises:
        ValueError: it is no URL, or the extra `traces` is not installed.
    """
    if not _ENDPOINT.fullmatch(given):
        raise ValueError("expected the URL of an OTLP/HTTP collector: http://host:4318")
    if not is_installed():
        raise ValueError("needs the extra `traces`: pip install 'slipstream[traces]'")
    return given


class Tracer:
    """Records spans, for one event loop. A thread sends them; a slow collector costs only spans."""

    def __init__(
        self,
        endpoint: str,
        *,
        service: str,
        dropped: Counter,
        sample_rate: float = 0.0,
        resource: Attributes | None = None,
    ) -> None:
        """Send spans to `endpoint`, the base URL of an OTLP/HTTP collector.

        Args:
            endpoint: such as `http://127.0.0.1:4318`; `/v1/traces` is added.
            service: `service.name` of the spans.
            dropped: counts spans that were not delivered.
            sample_rate: share of the calls without `traceparent` that are traced, from 0 to 1.
            resource: further attributes of all spans.

        Raises:
            ModuleNotFoundError: the extra `traces` is not installed.
        """
        from telemetry.otlp import SpanSender  # noqa: PLC0415

        self._sample_rate = sample_rate
        self._sender = SpanSender(endpoint, {"service.name": service, **(resource or {})}, dropped)

    def begin(self, headers: Mapping[bytes, bytes]) -> TraceContext:
        """Return the identity of a call's span: the caller decides whether it is sampled.

        Without a valid `traceparent` in the headers, whose names are in lower case, chance does.
        """
        asked = headers.get(b"traceparent")
        if asked is not None:
            state = headers.get(b"tracestate")
            text = None if state is None else state.decode("latin-1")
            given = parse(asked.decode("latin-1"), text)
            if given is not None:
                return given.child() if given.sampled else UNSAMPLED
        if random.random() >= self._sample_rate:  # nosec B311 # no secret
            return UNSAMPLED
        trace_id, span_id = random.getrandbits(128), random.getrandbits(64)  # nosec B311 # no secret
        return TraceContext(trace_id or 1, span_id or 1)

    def record(
        self,
        context: TraceContext,
        name: str,
        start: float,
        end: float,
        *,
        kind: SpanKind = "internal",
        attributes: Attributes | None = None,
        error: str | None = None,
        links: Sequence[TraceContext] = (),
    ) -> None:
        """Record a span, from `start` to `end` in seconds since the epoch.

        `error` is a stable code, never a message: messages may contain input. `links` are other
        spans that it has to do with.
        """
        self._sender.send(RecordedSpan(context, name, start, end, kind, attributes, error, links))

    async def close(self) -> None:
        """Send what is left, for at most two seconds."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._sender.shut_down()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="traces shutdown", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await done.wait()
