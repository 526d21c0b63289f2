"""The spans of answered calls, made of the times that were recorded for metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.metrics import STAGES
from telemetry.traces import TraceContext, Tracer

TRACEPARENT = b"traceparent"
_ROUTE = "/node/deployment-trigger/{deployment_id}/"
_SERVER_ERROR = 500


class CallSpans:
    """Records the spans of calls when they are counted, not while their clients wait."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def record(self, calls: Sequence[DeploymentCallRecord]) -> None:
        """Record the spans of those that are sampled."""
        to_epoch = time.time() - time.perf_counter()
        for call in calls:
            if not call.is_request:
                continue
            # callers without a key decide nothing: their calls are traced by chance only
            asked = None if call.route is None else call.headers.get(TRACEPARENT)
            context = call.trace or self._tracer.begin(asked)
            if context.sampled:
                call.trace = context
                self._record(call, context, to_epoch)

    def _record(self, call: DeploymentCallRecord, context: TraceContext, to_epoch: float) -> None:
        start, end = call.began + to_epoch, call.ended + to_epoch
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "http.route": _ROUTE,
            "http.response.status_code": call.status,
        }
        if call.route is not None:
            deployment = call.route.deployment
            attributes["slipstream.deployment.id"] = deployment.id
            attributes["slipstream.deployment.version"] = deployment.version
            attributes["slipstream.mode"] = str(deployment.mode)
        if len(call.stages) == len(STAGES):
            self._record_stages(call.stages, context, start, end)
        code = None if call.error is None else call.error.value
        self._tracer.record(
            context,
            f"POST {_ROUTE}",
            start,
            end,
            kind="server",
            attributes=attributes,
            error=code if call.status >= _SERVER_ERROR else None,
        )

    def _record_stages(
        self, stages: Sequence[float], context: TraceContext, start: float, end: float
    ) -> None:
        """Record a span for each stage of a fast call.

        `queue` and `infer` are durations by the inference server's clock: they are placed so that
        they end when the answer began to be written.
        """
        auth, _, queue, infer, serialise = stages
        replied = end - serialise
        starts = (start, start + auth, replied - infer - queue, replied - infer, replied)
        for stage, began, seconds in zip(STAGES, starts, stages, strict=True):
            self._tracer.record(context.child(), stage, began, began + seconds)
