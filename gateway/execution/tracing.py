"""The tracer of a process by its settings, and the spans of runs."""

from __future__ import annotations

from time import time

import orjson

from gateway.flows.spec import NodeType
from gateway.runs.run import Claim, RunResult, RunStatus
from gateway.settings import Settings
from telemetry.instruments import Counter, Registry
from telemetry.traces import TraceContext, Tracer

_CALLS = frozenset({NodeType.INFERENCE, "http_request"})
"""Nodes that call something else."""


def dropped_spans(registry: Registry) -> Counter:
    """Return the counter of spans that did not reach the collector."""
    return registry.counter(
        "trace_spans_dropped_total",
        "Spans that the collector did not take, or for which there was no room until it did.",
    ).child()


def open_tracer(settings: Settings, service: str, dropped: Counter) -> Tracer | None:
    """Return the tracer of this process; None: the settings name no collector."""
    if settings.trace_endpoint is None:
        return None
    return Tracer(
        settings.trace_endpoint,
        sample_rate=settings.trace_sample_rate,
        service=service,
        dropped=dropped,
    )


def record_run(
    tracer: Tracer, context: TraceContext, claim: Claim, result: RunResult, began: float
) -> None:
    """Record the spans of one execution of a run that has just ended.

    Args:
        tracer: records them.
        context: the execution's own span, which is a sibling of the one of the queue.
        claim: the run.
        result: how it has ended.
        began: seconds since the epoch at which this process began to execute it.
    """
    queue = TraceContext(context.trace_id, context.child().span_id, context.parent_id)
    tracer.record(queue, "queue", claim.created_at.timestamp(), claim.started_at.timestamp())
    for node_id, node in orjson.loads(result.node_outputs or b"{}").items():
        started = node.get("started_seconds")
        if started is None:  # skipped
            continue
        tracer.record(
            context.child(),
            f"node {node['type']}",
            began + started,
            began + started + (node.get("duration_seconds") or 0.0),
            attributes={"slipstream.node.id": node_id, "slipstream.node.type": node["type"]},
            kind="client" if node["type"] in _CALLS else "internal",
            error="flow_failed" if node["status"] == "failed" else None,
        )
    tracer.record(
        context,
        "run",
        began,
        time(),
        attributes={
            "slipstream.run.id": claim.run_id,
            "slipstream.run.attempt": claim.attempt,
            "slipstream.run.status": str(result.status),
            "slipstream.deployment.id": claim.deployment_id,
            "slipstream.deployment.version": claim.version,
        },
        error=result.error.code
        if result.error is not None and result.status is RunStatus.FAILED
        else None,
    )
