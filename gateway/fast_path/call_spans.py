"""The spans of answered calls, made of the times that were recorded for metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway.fast_path.call_record import DeploymentCallRecord, Hop
from gateway.metrics import STAGES
from gateway.upstream.request_span import record_hop
from telemetry.trace_context import TraceContext
from telemetry.traces import Tracer

_SERVER_ERROR = 500


class CallSpans:
    """Records the spans of calls when they are counted, not while their clients wait."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def record(self, calls: Sequence[DeploymentCallRecord]) -> None:
        """Record the spans of those that are sampled, and set the `trace` of all requests."""
        to_epoch = time.time() - time.perf_counter()
        for call in calls:
            if not call.is_request:
                continue
            if call.trace is None:
                # callers without a key decide nothing: their calls are traced by chance only
                call.trace = self._tracer.begin({} if call.route is None else call.headers)
            if call.trace.sampled:
                self._record(call, call.trace, to_epoch)

    def _record(self, call: DeploymentCallRecord, context: TraceContext, to_epoch: float) -> None:
        start, end = call.began + to_epoch, call.ended + to_epoch
        route = call.http_route
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "http.route": route,
            "http.response.status_code": call.status,
        }
        if call.route is not None:
            deployment = call.route.deployment
            attributes["slipstream.deployment.id"] = deployment.id
            attributes["slipstream.deployment.version"] = deployment.version
            attributes["slipstream.mode"] = str(deployment.mode)
        if len(call.stages) == len(STAGES):
            self._record_stages(call, context, start, end)
        if call.hops is not None:
            for hop in call.hops:
                self._record_hop(hop, end, to_epoch)
            call.hops.clear()  # a cycle, which only the garbage collector would end
        code = None if call.error is None else call.error.value
        self._tracer.record(
            context,
            f"POST {route}",
            start,
            end,
            kind="server",
            attributes=attributes,
            error=code if call.status >= _SERVER_ERROR else None,
        )

    def _record_stages(
        self, call: DeploymentCallRecord, context: TraceContext, start: float, end: float
    ) -> None:
        """Record a span for each stage of a fast call that the gateway itself has worked on."""
        auth, parse, _, _, serialise = call.stages
        for stage, began, seconds in (
            ("auth", start, auth),
            ("parse", start + auth, parse),
            ("serialise", end - serialise, serialise),
        ):
            self._tracer.record(context.child(), stage, began, began + seconds)

    def _record_hop(self, hop: Hop, end: float, to_epoch: float) -> None:
        call, ended, error = hop.call, hop.ended, hop.error
        if not ended:
            ended = call.replied or call.ended
            if not call.replied and call.error is not None:
                error = call.error.value
        assert call.route is not None
        assert call.route.codec is not None
        plan = call.route.codec.plan
        record_hop(
            self._tracer,
            hop.context,
            hop.began + to_epoch,
            ended + to_epoch if ended else end,
            model=plan.model,
            version=plan.version,
            error=error,
        )
