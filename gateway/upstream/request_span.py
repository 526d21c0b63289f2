"""The span of a request to an inference server; the spans of that one go below it."""

from __future__ import annotations

from protos.methods import STREAM_METHOD
from telemetry.trace_context import TraceContext
from telemetry.traces import Tracer


def record_hop(
    tracer: Tracer,
    context: TraceContext,
    start: float,
    end: float,
    *,
    model: str,
    version: int,
    error: str | None,
) -> None:
    """Record the span of a request to an inference server, from `start` to `end` (epoch)."""
    tracer.record(
        context,
        STREAM_METHOD,
        start,
        end,
        kind="client",
        attributes={
            "rpc.system.name": "grpc",
            "rpc.method": STREAM_METHOD,
            "slipstream.model.name": model,
            "slipstream.model.version": version,
        },
        error=error,
    )
