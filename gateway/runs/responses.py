"""Responses about runs: bodies, headers and errors. Pure.

A flat body repeats its fields as `data`, which the documented Python sample reads, unless its
outputs are large. An `envelope` is what the documented JavaScript sample reads. `message` is beside
`data` and not in it. Outputs are stored as JSON and inserted as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.deployments.settings import ResponseFormat
from gateway.errors import GatewayError
from gateway.runs.run import FailureCode, Run, RunDetails, RunStatus
from protos.errors import ErrorCode

QUEUED_MESSAGE = "Flow execution started. Use the flow_run_id to check status."
"""As documented, word for word."""

MAX_REPEATED_BYTES = 64 * 1024
"""A flat body whose `output_data` and `node_outputs` together are larger has no `data`."""
NOT_REPEATED_HINT = (
    " The outputs exceed 64 KiB, so they are not repeated in data: read output_data, or use "
    "response_format=envelope."
)
_MESSAGES = {
    "queued": "Flow execution is queued.",
    "running": "Flow execution is under way.",
    "cancelling": "Flow execution is being cancelled.",
    "completed": "Flow execution completed.",
    "failed": "Flow execution failed.",
    "cancelled": "Flow execution was cancelled.",
}
_NULL = b"null"
_NOTHING = b""
_NO_NODES = b"{}"
_DONE = (
    b'{"status":"completed","flow_run_id":"%b","output_data":%b,"node_outputs":%b,'
    b'"duration_seconds":%b}'
)
_MIN_RETRY_SECONDS = 1
_MAX_RETRY_SECONDS = 10
_AGE_PER_SECOND = 10
"""Retry-After grows by a second for each so many seconds that a run has taken."""


def finished_body(
    run: Run, response_format: ResponseFormat, *, include_node_outputs: bool = True
) -> bytes:
    """Return the body of the 200 of a sync call."""
    output_data, nodes = run.output_data or _NO_NODES, _nodes(run, include=include_node_outputs)
    duration = orjson.dumps(_rounded(run.duration_seconds))
    inner = _DONE % (run.id.encode(), output_data, nodes, duration)
    if response_format is ResponseFormat.ENVELOPE:
        return _enveloped(inner, run_message(run), success=True)
    return _flat(inner, run, len(output_data) + len(nodes))


def accepted_body(run: Run, response_format: ResponseFormat) -> bytes:
    """Return the body of a 202; the URL to poll is in `Location`."""
    inner = orjson.dumps({"flow_run_id": run.id, "status": run.shown_status, "urls": run_urls(run)})
    if response_format is ResponseFormat.ENVELOPE:
        return _enveloped(inner, QUEUED_MESSAGE, success=True)
    return b'%b,"message":%b,"data":%b}' % (inner[:-1], orjson.dumps(QUEUED_MESSAGE), inner)


def poll_body(
    run: Run,
    response_format: ResponseFormat,
    *,
    include_node_outputs: bool = True,
    details: RunDetails | None = None,
) -> bytes:
    """Return the body of a poll, for a run in any state.

    `input_data` is not among what a flat body repeats as `data`.
    """
    facts = {
        "flow_run_id": run.id,
        "deployment_id": run.deployment_id,
        "deployment_version": run.version,
        "flow_id": run.flow_id,
        "execution_mode": run.mode,
        "deployment_type": run.type,
        "status": run.shown_status,
        "attempt": run.attempt,
        "error": _error(run),
        "duration_seconds": _rounded(run.duration_seconds),
        "queue_seconds": _rounded(run.queue_seconds),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "retry_of": run.retry_of,
        "test": run.test,
        "api_key_id": run.key_id,
        "request_id": run.request_id,
        "trace_id": run.trace_id,
        "metadata": run.labels or {},
        "urls": run_urls(run),
        **_names(run, details),
    }
    output_data, nodes = run.output_data or _NULL, _nodes(run, include=include_node_outputs)
    known = orjson.dumps(facts, option=orjson.OPT_UTC_Z)
    inner = b'%b,"output_data":%b,"node_outputs":%b}' % (known[:-1], output_data, nodes)
    shown = _NOTHING
    if details is not None and details.shows_input:
        shown = b',"input_data":%b' % (details.input_data or _NULL)
    if response_format is ResponseFormat.ENVELOPE:
        success = run.status not in (RunStatus.FAILED, RunStatus.CANCELLED)
        whole = b"%b%b}" % (inner[:-1], shown)
        return _enveloped(whole, run_message(run), success=success)
    return _flat(inner, run, len(output_data) + len(nodes), shown)


def run_message(run: Run) -> str:
    """Return one sentence about a run."""
    if run.error is not None:
        return run.error.message
    return _MESSAGES[run.shown_status]


def run_etag(run: Run, response_format: ResponseFormat) -> str:
    """Return the entity tag of `poll_body`."""
    return f'"{run.attempt}-{run.shown_status}-{response_format}"'


def retry_after(waited_seconds: float) -> int:
    """Return the seconds until the next poll, for a run created `waited_seconds` ago."""
    return int(min(_MAX_RETRY_SECONDS, max(_MIN_RETRY_SECONDS, waited_seconds / _AGE_PER_SECOND)))


def server_timing(run: Run) -> bytes:
    """Return the value of a Server-Timing header for a run that has ended, in milliseconds.

    `queue` is the time before it started, `run` the duration of the flow; unknown ones are omitted.
    """
    stages = ((b"queue", run.queue_seconds), (b"run", run.duration_seconds))
    return b", ".join(
        b"%b;dur=%.3f" % (name, seconds * 1e3) for name, seconds in stages if seconds is not None
    )


def run_location(run_id: str) -> str:
    """Return the URL path of a run."""
    return f"/node/flow-runs/{run_id}/"


def run_urls(run: Run) -> dict[str, str]:
    """Return the URL paths of what can be done with a run, `cancel` only while it has an effect."""
    get = run_location(run.id)
    urls = {"get": get, "events": f"{get}events/"}
    if run.cancellable:
        urls["cancel"] = f"{get}cancel/"
    return urls


def _enveloped(inner: bytes, message: str, *, success: bool) -> bytes:
    status = b"success" if success else b"error"
    return b'{"status":"%b","message":%b,"data":%b}' % (status, orjson.dumps(message), inner)


def _flat(inner: bytes, run: Run, output_bytes: int, unrepeated: bytes = _NOTHING) -> bytes:
    message = run_message(run)
    repeated = output_bytes <= MAX_REPEATED_BYTES
    if run.status is RunStatus.COMPLETED and not repeated:
        message += NOT_REPEATED_HINT
    start = b'%b%b,"message":%b' % (inner[:-1], unrepeated, orjson.dumps(message))
    return b'%b,"data":%b}' % (start, inner) if repeated else start + b"}"


def _nodes(run: Run, *, include: bool) -> bytes:
    """Return `node_outputs`; null if those of an ended run were too large to be kept."""
    if not include or not run.ended:
        return _NO_NODES
    return run.node_outputs or _NULL


def _names(run: Run, details: RunDetails | None) -> dict[str, str | None]:
    if details is None or details.names is None:
        return {}
    names = details.names
    return {
        "deployment_name": names.get(run.deployment_id),
        "api_key_name": names.get(run.key_id or ""),
    }


def _error(run: Run) -> dict[str, str | None] | None:
    error = run.error
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "node_id": error.node_id}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


ERROR_CODES: Mapping[str, ErrorCode] = {
    FailureCode.FLOW_FAILED: ErrorCode.FLOW_FAILED,
    FailureCode.EVALUATION_LIMIT: ErrorCode.EVALUATION_LIMIT,
    FailureCode.INVALID_INPUT: ErrorCode.INVALID_INPUT,
    FailureCode.INVALID_TENSOR: ErrorCode.INVALID_TENSOR,
    FailureCode.NON_FINITE_OUTPUT: ErrorCode.NON_FINITE_OUTPUT,
    FailureCode.TIMEOUT: ErrorCode.RUN_TIMEOUT,
    FailureCode.QUEUE_TIMEOUT: ErrorCode.QUEUE_TIMEOUT,
    FailureCode.WORKER_LOST: ErrorCode.WORKER_LOST,
    FailureCode.INFERENCE_UNAVAILABLE: ErrorCode.INFERENCE_SERVER_UNAVAILABLE,
    FailureCode.NO_ACTIVE_INFERENCE: ErrorCode.NO_ACTIVE_INFERENCE,
    FailureCode.STORAGE_QUOTA_EXCEEDED: ErrorCode.STORAGE_QUOTA_EXCEEDED,
    FailureCode.CANCELLED: ErrorCode.RUN_CANCELLED,
    FailureCode.CANCELLED_BY_SHUTDOWN: ErrorCode.SHUTTING_DOWN,
}
_OF_NODES = frozenset(
    {ErrorCode.FLOW_FAILED, ErrorCode.EVALUATION_LIMIT}
    | {ErrorCode.INVALID_INPUT, ErrorCode.INVALID_TENSOR}
)
"""Codes whose message names the node."""
_CODES = {code.value: code for code in ErrorCode}
"""A fast call fails with the code of its answer."""
_RETRY_SECONDS = 1.0


def error_of_run(run: Run, *, replayed: bool = False) -> GatewayError:
    """Return the error of a sync call whose run has failed or was cancelled.

    `replayed` marks the response to a repeated call with the same Idempotency-Key.
    """
    assert run.status in (RunStatus.FAILED, RunStatus.CANCELLED), run.status
    error = run.error
    code = ErrorCode.RUN_CANCELLED
    if error is not None and run.status is RunStatus.FAILED:
        code = known_code(error.code) or ErrorCode.FLOW_FAILED
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


def known_code(code: str) -> ErrorCode | None:
    """Return what the code of a run's or a node's error means for callers; None: nothing known."""
    return ERROR_CODES.get(code) or _CODES.get(code)


def _error_message(run: Run, code: ErrorCode) -> str:
    error = run.error
    if error is None:
        return "the run was cancelled"
    if code in _OF_NODES and error.node_id is not None:
        return f"node '{error.node_id}': {error.message}"
    return error.message
