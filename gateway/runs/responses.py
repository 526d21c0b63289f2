"""Bodies about runs: `flat` as documented, or in an `envelope`. Pure.

A flat body carries its fields once more as `data`, which is what the documented Python sample
reads; the envelope is what the documented JavaScript sample reads. The run is written once, around
outputs that are JSON already, and spliced in as bytes.
"""

from __future__ import annotations

import orjson

from gateway.deployments.settings import ResponseFormat
from gateway.runs.run import Run, RunStatus

QUEUED_MESSAGE = "Flow execution started. Use the flow_run_id to check status."
"""Word for word as documented."""

_MESSAGES = {
    "queued": "Flow execution is queued.",
    "running": "Flow execution is under way.",
    "cancelling": "Flow execution is being cancelled.",
    "completed": (
        "Flow execution completed. With response_format=envelope this answer is "
        '{"status": "success", "message", "data"}.'
    ),
    "failed": "Flow execution failed.",
    "cancelled": "Flow execution was cancelled.",
}
_NULL = b"null"
_NO_NODES = b"{}"
_DONE = (
    b'{"status":"completed","flow_run_id":"%b","output_data":%b,"node_outputs":%b,'
    b'"duration_seconds":%b}'
)
_SOON_SECONDS = 1
_LATE_SECONDS = 10
_PATIENCE = 10
"""A run that has taken that many seconds is asked for a second later each time."""


def finished_body(
    run: Run, response_format: ResponseFormat, *, include_node_outputs: bool = True
) -> bytes:
    """Return the body of a 200 for a sync call whose run is completed."""
    inner = _DONE % (
        run.id.encode(),
        run.output_data or _NO_NODES,
        _nodes(run, include=include_node_outputs),
        orjson.dumps(_rounded(run.duration_seconds)),
    )
    return _spliced(inner, run_message(run), response_format, success=True)


def accepted_body(run: Run, response_format: ResponseFormat) -> bytes:
    """Return the body of a 202: where to ask is in `Location`, what for is here."""
    inner = orjson.dumps(
        {"flow_run_id": run.id, "status": run.shown_status, "message": QUEUED_MESSAGE}
    )
    if response_format is ResponseFormat.ENVELOPE:
        return _spliced(inner, QUEUED_MESSAGE, response_format, success=True)
    return b'%b,"data":%b}' % (inner[:-1], inner)


def poll_body(
    run: Run, response_format: ResponseFormat, *, include_node_outputs: bool = True
) -> bytes:
    """Return the body about a run in any state."""
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
    }
    inner = b'%b,"output_data":%b,"node_outputs":%b}' % (
        orjson.dumps(facts, option=orjson.OPT_UTC_Z)[:-1],
        run.output_data or _NULL,
        _nodes(run, include=include_node_outputs),
    )
    success = run.status not in (RunStatus.FAILED, RunStatus.CANCELLED)
    return _spliced(inner, run_message(run), response_format, success=success)


def run_message(run: Run) -> str:
    """Return one sentence about a run for people."""
    if run.error is not None:
        return run.error.message
    return _MESSAGES[run.shown_status]


def run_etag(run: Run, response_format: ResponseFormat) -> str:
    """Return the name of what `poll_body` says of a run: another body has another one."""
    return f'"{run.attempt}-{run.shown_status}-{response_format}"'


def retry_after(waited_seconds: float) -> int:
    """Return when asking again is worth it, in seconds, for a run created that long ago."""
    return int(min(_LATE_SECONDS, max(_SOON_SECONDS, waited_seconds / _PATIENCE)))


def server_timing(run: Run) -> bytes:
    """Return what a run that has ended took, as a Server-Timing header says it: in milliseconds.

    `queue` is what it waited to begin, `run` what the flow took; each is left out where unknown.
    """
    stages = ((b"queue", run.queue_seconds), (b"run", run.duration_seconds))
    return b", ".join(
        b"%b;dur=%.3f" % (name, seconds * 1e3) for name, seconds in stages if seconds is not None
    )


def run_location(run_id: str) -> str:
    """Return where to ask for a run."""
    return f"/node/flow-runs/{run_id}/"


def _spliced(
    inner: bytes, message: str, response_format: ResponseFormat, *, success: bool
) -> bytes:
    told = orjson.dumps(message)
    if response_format is ResponseFormat.ENVELOPE:
        status = b"success" if success else b"error"
        return b'{"status":"%b","message":%b,"data":%b}' % (status, told, inner)
    return b'%b,"message":%b,"data":%b}' % (inner[:-1], told, inner)


def _nodes(run: Run, *, include: bool) -> bytes:
    """Return `node_outputs`: null where a finished run had more than is kept."""
    if not include or not run.ended:
        return _NO_NODES
    return run.node_outputs or _NULL


def _error(run: Run) -> dict[str, str | None] | None:
    error = run.error
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "node_id": error.node_id}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
