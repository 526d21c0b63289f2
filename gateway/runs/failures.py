"""Runs without a result, as errors: the one table. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import GatewayError
from gateway.runs.run import FailureCode, Run, RunStatus
from protos.errors import ErrorCode

ERROR_CODES: Mapping[str, ErrorCode] = {
    FailureCode.FLOW_FAILED: ErrorCode.FLOW_FAILED,
    FailureCode.TIMEOUT: ErrorCode.RUN_TIMEOUT,
    FailureCode.QUEUE_TIMEOUT: ErrorCode.QUEUE_TIMEOUT,
    FailureCode.WORKER_LOST: ErrorCode.WORKER_LOST,
    FailureCode.INFERENCE_UNAVAILABLE: ErrorCode.INFERENCE_SERVER_UNAVAILABLE,
    FailureCode.CANCELLED: ErrorCode.RUN_CANCELLED,
    FailureCode.CANCELLED_BY_SHUTDOWN: ErrorCode.SHUTTING_DOWN,
}
_RETRY_SECONDS = 1.0


def error_of_run(run: Run, *, replayed: bool = False) -> GatewayError:
    """Return what a sync caller is told of a run that has failed, or was cancelled.

    It is `replayed` to who comes again with the Idempotency-Key of the call that began it.
    """
    assert run.status in (RunStatus.FAILED, RunStatus.CANCELLED), run.status
    error = run.error
    code = ErrorCode.RUN_CANCELLED
    if error is not None and run.status is RunStatus.FAILED:
        code = ERROR_CODES.get(error.code, ErrorCode.FLOW_FAILED)
    details: dict[str, object] = {
        "flow_run_id": run.id,
        "duration_seconds": run.duration_seconds,
    }
    if error is not None and error.node_id is not None:
        details["node_id"] = error.node_id
    message = _error_message(run, code)
    return GatewayError(
        code, message, retry_after=_RETRY_SECONDS, details=details, replayed=replayed
    )


def _error_message(run: Run, code: ErrorCode) -> str:
    error = run.error
    if error is None:
        return "the run was cancelled"
    if code is ErrorCode.FLOW_FAILED and error.node_id is not None:
        return f"node '{error.node_id}': {error.message}"
    return error.message
