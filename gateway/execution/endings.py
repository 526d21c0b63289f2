"""What a run's row says at its end, from what the engine says. Pure."""

from __future__ import annotations

import orjson

from gateway.errors import GatewayError
from gateway.flows.result import FlowResult
from gateway.runs.run import FailureCode, RunError, RunResult, RunStatus

_STATUSES = {
    "completed": RunStatus.COMPLETED,
    "failed": RunStatus.FAILED,
    "cancelled": RunStatus.CANCELLED,
}


def ending_of(outcome: FlowResult) -> RunResult:
    """Return the ending that the engine's outcome means."""
    error = outcome.error
    output = outcome.output_data
    return RunResult(
        status=_STATUSES[outcome.status],
        output_data=None if output is None else orjson.dumps(output),
        node_outputs=orjson.dumps(outcome.node_outputs),
        error=None
        if error is None
        else RunError(code=error.code, message=error.message, node_id=error.node_id),
        duration_seconds=outcome.duration_seconds,
    )


def failed_to_start(error: GatewayError, duration_seconds: float) -> RunResult:
    """Return the ending of a run whose flow could not be begun."""
    return RunResult(
        status=RunStatus.FAILED,
        node_outputs=b"{}",
        error=RunError(code=FailureCode.FLOW_FAILED, message=error.message),
        duration_seconds=duration_seconds,
    )
