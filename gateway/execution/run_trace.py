"""The spans of one execution of a run."""

from __future__ import annotations

from time import time
from typing import Self

import orjson

from gateway.flows.spec import NodeType
from gateway.runs.run import Claim, RunResult, RunStatus
from telemetry.trace_context import TraceContext, continued
from telemetry.traces import Tracer

_CALLS = frozenset({NodeType.INFERENCE, "http_request"})
"""Nodes that call something else."""


class RunTrace:
    """The identities of the spans of one execution, which begins now.

    Those of nodes that call something else are chosen before they do; spans are recorded when the
    run has ended.
    """

    def __init__(self, context: TraceContext) -> None:
        self.context = context
        """Of the execution, a sibling of the queue's."""
        self._began = time()
        self._nodes: dict[str, tuple[TraceContext, float]] = {}
        """Of nodes that have called something, and when they first did."""

    @classmethod
    def of(cls, claim: Claim) -> Self | None:
        """Return the trace of a run; None: it is not traced."""
        context = continued(claim.traceparent, claim.tracestate)
        return None if context is None else cls(context)

    def node(self, node_id: str) -> TraceContext:
        """Return the identity of a node's span."""
        found = self._nodes.get(node_id)
        if found is None:
            found = self._nodes[node_id] = self.context.child(), time()
        return found[0]

    def record(self, tracer: Tracer, claim: Claim, result: RunResult) -> None:
        """Record the spans of the execution, which has just ended."""
        context = self.context
        queue = TraceContext(
            context.trace_id, context.child().span_id, context.parent_id, context.tracestate
        )
        tracer.record(queue, "queue", claim.created_at.timestamp(), claim.started_at.timestamp())
        self._record_nodes(tracer, result)
        failure = result.error if result.status is RunStatus.FAILED else None
        tracer.record(
            context,
            "run",
            self._began,
            time(),
            attributes={
                "slipstream.run.id": claim.run_id,
                "slipstream.run.attempt": claim.attempt,
                "slipstream.run.status": str(result.status),
                "slipstream.deployment.id": claim.deployment_id,
                "slipstream.deployment.version": claim.version,
            },
            error=None if failure is None else failure.code,
        )

    def _record_nodes(self, tracer: Tracer, result: RunResult) -> None:
        unfinished = dict(self._nodes)
        for node_id, node in orjson.loads(result.node_outputs or b"{}").items():
            started = node.get("started_seconds")
            if started is None:  # skipped
                continue
            unfinished.pop(node_id, None)
            began = self._began + started
            tracer.record(
                self.node(node_id),
                f"node {node['type']}",
                began,
                began + (node.get("duration_seconds") or 0.0),
                attributes={"slipstream.node.id": node_id, "slipstream.node.type": node["type"]},
                kind="client" if node["type"] in _CALLS else "internal",
                error="flow_failed" if node["status"] == "failed" else None,
            )
        for node_id, (context, began) in unfinished.items():  # others have spans below it
            tracer.record(
                context,
                "node",
                began,
                time(),
                attributes={"slipstream.node.id": node_id},
                kind="client",
                error="cancelled",
            )
