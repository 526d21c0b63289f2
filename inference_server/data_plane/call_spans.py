"""The spans of sampled calls, made of the times of their runs when their clients have answers."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter, time

from inference_server.data_plane.batching import BatchResult
from inference_server.data_plane.calls import PendingCall
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.methods import STREAM_METHOD
from protos.parameters import trace_of
from telemetry.trace_context import TraceContext, continued
from telemetry.traces import Tracer

_MAX_LINKS = 32
"""Of a batch, to other calls that are sampled."""


class CallSpans:
    """Records the spans of sampled calls. For one event loop."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @staticmethod
    def begin(request: pb.ModelInferRequest) -> TraceContext | None:
        """Return the identity of the span of a request; None: it is not sampled."""
        named = trace_of(request)
        return None if named is None else continued(*named)

    def completed(self, calls: Sequence[PendingCall], rows: int, result: BatchResult) -> None:
        """Record the spans of the sampled ones of `calls`, which have shared a run of `rows`."""
        sampled = [(call, call.trace) for call in calls if call.trace is not None]
        if not sampled:
            return
        now = perf_counter()
        to_epoch = time() - now
        began = result.started_at + to_epoch
        ran = began + result.infer_seconds
        batches = [trace.child() for _, trace in sampled]
        for (call, trace), batch in zip(sampled, batches, strict=True):
            self._tracer.record(trace.child(), "queue", call.arrived_at + to_epoch, began)
            self._tracer.record(
                batch,
                "batch",
                began,
                now + to_epoch,
                attributes={"slipstream.batch.calls": len(calls), "slipstream.batch.rows": rows},
                links=[other for other in batches[:_MAX_LINKS] if other is not batch],
            )
            self._tracer.record(batch.child(), "infer", began, ran)
            self._record_call(trace, call.arrived_at + to_epoch, now + to_epoch, None)
            call.trace = None

    def failed(self, trace: TraceContext, arrived_at: float, code: ErrorCode) -> None:
        """Record the span of a call that has failed now; `arrived_at` is a `perf_counter()`."""
        now = time()
        self._record_call(trace, now - (perf_counter() - arrived_at), now, code)

    def _record_call(
        self, trace: TraceContext, start: float, end: float, code: ErrorCode | None
    ) -> None:
        self._tracer.record(
            trace,
            STREAM_METHOD,
            start,
            end,
            kind="server",
            attributes={"rpc.system.name": "grpc", "rpc.method": STREAM_METHOD},
            error=None if code is None else code.value,
        )
