"""Requests that name the span which they are made for, so that an inference server's go below."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from protos import open_inference_pb2 as pb
from protos.message_templates import InferRequestTemplate, RawBytes
from protos.methods import STREAM_METHOD
from protos.parameters import set_trace
from telemetry.trace_context import TraceContext
from telemetry.traces import Tracer


def traced(
    template: InferRequestTemplate, raws: Sequence[RawBytes], context: TraceContext
) -> tuple[InferRequestTemplate, list[RawBytes]]:
    """Return template and elements of the same request, made for the span `context`."""
    parameters = pb.ModelInferRequest()
    set_trace(parameters, context.headers)
    # a reader of protobuf takes parameters from anywhere in a message
    longer = copy(template)
    longer.append(parameters.SerializeToString())
    return longer, [*raws, b""]


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
