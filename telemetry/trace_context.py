"""The identities of spans, and the headers by which they are passed on (W3C Trace Context)."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
"""Headers of W3C Trace Context, https://www.w3.org/TR/trace-context/."""
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
MAX_TRACESTATE_LENGTH = 512
_MEMBER = (
    r"[ \t]*(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[ -+\--<>-~]{0,255}[!-+\--<>-~][ \t]*"
)
_TRACESTATE = re.compile(rf"{_MEMBER}(?:,{_MEMBER}){{0,31}}")

SpanKind = Literal["internal", "server", "client"]
Attributes = Mapping[str, str | int]


class TraceContext(NamedTuple):
    """The identity of one span, which exists before the span is recorded."""

    trace_id: int
    span_id: int
    parent_id: int | None = None
    tracestate: str | None = None
    """What the caller's vendors have said of the trace; passed on unchanged."""
    sampled: bool = True

    @property
    def traceparent(self) -> str | None:
        """The header by which others make spans below this one (W3C); None: it is not sampled."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-01" if self.sampled else None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of requests that are made for a sampled span."""
        headers = {TRACEPARENT: f"00-{self.trace_id:032x}-{self.span_id:016x}-01"}
        if self.tracestate is not None:
            headers[TRACESTATE] = self.tracestate
        return headers

    @property
    def trace_id_text(self) -> str:
        """The trace's id, as lines of the log have it."""
        return f"{self.trace_id:032x}"

    def child(self) -> TraceContext:
        """Return the identity of a new span below this one."""
        new_id = random.getrandbits(64) or 1  # nosec B311 # no secret
        return TraceContext(self.trace_id, new_id, self.span_id, self.tracestate)


class RecordedSpan(NamedTuple):
    """A span that is over; see `Tracer.record`."""

    context: TraceContext
    name: str
    start: float
    end: float
    kind: SpanKind
    attributes: Attributes | None
    error: str | None
    links: Sequence[TraceContext]


UNSAMPLED = TraceContext(0, 0, sampled=False)


def continued(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """Return a new span's identity below a sampled `traceparent`; None: there is none."""
    found = parse(traceparent, tracestate)
    return found.child() if found is not None and found.sampled else None


def parse(traceparent: str | None, tracestate: str | None) -> TraceContext | None:
    """Return the span that a `traceparent` names; None: it is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    if not trace_id or not span_id:
        return None
    state = _valid_tracestate(tracestate)
    return TraceContext(trace_id, span_id, tracestate=state, sampled=bool(flags & 1))


def _valid_tracestate(given: str | None) -> str | None:
    """Return a `tracestate` that is valid; one that is not, or too long, is left out (W3C)."""
    if not given or len(given) > MAX_TRACESTATE_LENGTH or _TRACESTATE.fullmatch(given) is None:
        return None
    return given
