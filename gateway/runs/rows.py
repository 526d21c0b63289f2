"""Converts between database rows and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import orjson
import sqlalchemy as sa

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.ids import own_request_id
from gateway.runs.labels import Labels
from gateway.runs.run import (
    MAX_MESSAGE_CHARACTERS,
    MAX_NODE_OUTPUTS_BYTES,
    MAX_OUTPUT_BYTES,
    Claim,
    FailureCode,
    FinishedRun,
    LeaseStatus,
    NewRun,
    QueuedRun,
    Run,
    RunError,
    RunResult,
    RunStatus,
)
from gateway.storage.quota_tables import ROW_BYTES
from gateway.storage.run_tables import RunDraft, RunEventRow, RunLabel, RunPayload, RunRow

RUNS = cast("sa.Table", RunRow.__table__)
PAYLOADS = cast("sa.Table", RunPayload.__table__)
EVENTS = cast("sa.Table", RunEventRow.__table__)
DRAFTS = cast("sa.Table", RunDraft.__table__)
LABELS = cast("sa.Table", RunLabel.__table__)

_MAX_NODE_ID = 200
_LABEL_BYTES = 256
"""What a label counts as stored beside its texts, which both the run and its own row have."""

# Any, here and below: column values
RowValues = dict[str, Any]


def run_from_row(
    row: Any, *, output_data: bytes | None = None, node_outputs: bytes | None = None
) -> Run:
    """Convert a row of `runs`."""
    error = None
    if row.error_code is not None:
        error = RunError(
            code=row.error_code, message=row.error_message or "", node_id=row.error_node
        )
    return Run(
        id=row.id,
        profile_id=row.profile_id,
        deployment_id=row.deployment_id,
        version=row.version,
        flow_id=row.flow_id,
        mode=ExecutionMode(row.mode),
        type=DeploymentType(row.type),
        key_id=row.key_id,
        retry_of=row.retry_of,
        status=RunStatus(row.status),
        cancel_requested=row.cancel_requested,
        timeout_seconds=row.timeout_seconds,
        retry_safe=row.retry_safe,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        event_count=row.event_count,
        created_at=row.created_at,
        queue_until=row.queue_until,
        started_at=row.started_at,
        finished_at=row.finished_at,
        duration_seconds=row.duration_seconds,
        error=error,
        idempotency_key=row.idempotency_key,
        test=row.test,
        boot_seconds=row.boot_seconds,
        cancel_requested_at=row.cancel_requested_at,
        request_id=_request_id(row.id, row.request_id),
        traceparent=row.traceparent,
        labels=None if row.labels is None else orjson.loads(row.labels),
        output_data=output_data,
        node_outputs=node_outputs,
    )


def run_with_output(row: Any) -> Run:
    """Convert a row of `runs` joined with `run_payloads`."""
    return run_from_row(row, output_data=row.output, node_outputs=row.node_outputs)


def claim_from_row(
    row: Any, input_data: bytes | None, refusal: RunError | None = None, *, asked_at: float
) -> Claim:
    """Return the claim of a row that was just claimed."""
    return Claim(
        run_id=row.id,
        attempt=row.attempt,
        profile_id=row.profile_id,
        deployment_id=row.deployment_id,
        version=row.version,
        flow_id=row.flow_id,
        mode=ExecutionMode(row.mode),
        type=DeploymentType(row.type),
        input_data=input_data or b"{}",
        timeout_seconds=row.timeout_seconds,
        created_at=row.created_at,
        started_at=row.started_at,
        asked_at=asked_at,
        key_id=row.key_id,
        test=row.test,
        traceparent=row.traceparent,
        tracestate=row.tracestate,
        refusal=refusal,
    )


def held_params(held: Sequence[tuple[str, int]]) -> RowValues:
    """Return the parameters of statements about held runs, given as (id, attempt)."""
    return {
        "run_ids": [run_id for run_id, _ in held],
        "held": [f"{run_id} {attempt}" for run_id, attempt in held],
    }


def lease_status(held: Sequence[tuple[str, int]], found: Sequence[Any]) -> LeaseStatus:
    """Return which of the held runs are lost or cancelled, from the rows that were found."""
    kept = {row.id for row in found}
    return LeaseStatus(
        lost=frozenset(run_id for run_id, _ in held if run_id not in kept),
        cancelled=frozenset(row.id for row in found if row.cancel_requested),
    )


def queued_run(row: Any) -> QueuedRun:
    """Return what is needed to hand a run over."""
    return QueuedRun(run_id=row.id, type=DeploymentType(row.type), mode=ExecutionMode(row.mode))


def new_values(new: NewRun) -> RowValues:
    """Return the columns of a new run, except its state and times."""
    idempotency = new.idempotency
    return {
        "id": new.id,
        "profile_id": new.profile_id,
        "deployment_id": new.deployment_id,
        "version": new.version,
        "flow_id": new.flow_id,
        "mode": new.mode,
        "type": new.type,
        "key_id": new.key_id,
        "retry_of": new.retry_of,
        "request_id": new.request_id or "",
        "traceparent": new.traceparent,
        "tracestate": new.tracestate,
        "labels": None if new.labels is None else orjson.dumps(new.labels).decode(),
        "cancel_requested": False,
        "timeout_seconds": float(new.timeout_seconds),
        "retry_safe": new.retry_safe,
        "max_attempts": new.max_attempts,
        "event_count": 0,
        "test": new.test,
        "stored_bytes": ROW_BYTES
        + len(new.input_data or b"")
        + len(new.draft or b"")
        + _labels_bytes(new.labels),
        "idempotency_key": idempotency and idempotency.key,
        "fingerprint": idempotency and idempotency.fingerprint,
    }


def finished_values(finished: FinishedRun) -> RowValues:
    """Return the columns of a run that is recorded after it ended."""
    new, ending = finished.new, enforce_size_limits(finished.ending)
    took = ending.duration_seconds or 0.0
    return {
        **new_values(new),
        "stored_bytes": finished_bytes(finished),
        "status": ending.status,
        "attempt": 1,
        "created_at": finished.started_at,
        "started_at": finished.started_at,
        "finished_at": finished.started_at + timedelta(seconds=took),
        "duration_seconds": ending.duration_seconds,
        **error_values(ending.error),
    }


def finished_bytes(finished: FinishedRun) -> int:
    """Return what a run that is recorded after it ended counts as stored: 0 without values."""
    new = finished.new
    size = len(new.input_data or b"") + result_bytes(enforce_size_limits(finished.ending))
    size += _labels_bytes(new.labels)
    return ROW_BYTES + size if size else 0


def finished_run(finished: FinishedRun) -> Run:
    """Return the run that is recorded after it ended."""
    new, ending = finished.new, enforce_size_limits(finished.ending)
    run = new_run(new, now=finished.started_at, started=True)
    return replace(
        run,
        status=ending.status,
        finished_at=finished.started_at + timedelta(seconds=ending.duration_seconds or 0.0),
        duration_seconds=ending.duration_seconds,
        error=ending.error,
        output_data=ending.output_data,
        node_outputs=ending.node_outputs,
    )


def finished_payload(finished: FinishedRun) -> RowValues:
    """Return the columns of the payload of such a run."""
    ending = enforce_size_limits(finished.ending)
    return {
        "run_id": finished.new.id,
        "input": finished.new.input_data,
        "output": ending.output_data,
        "node_outputs": ending.node_outputs,
    }


def ending_values(run_id: str, attempt: int, ending: RunResult) -> RowValues:
    """Return what a run that is held gets when it ends."""
    return {
        "run_id": run_id,
        "attempt": attempt,
        "status": ending.status,
        "duration_seconds": ending.duration_seconds,
        "boot_seconds": ending.boot_seconds,
        **error_values(ending.error),
        "more_bytes": result_bytes(ending),
    }


def error_values(error: RunError | None) -> RowValues:
    """Return the error columns."""
    if error is None:
        return {"error_code": None, "error_message": None, "error_node": None}
    node = error.node_id
    return {
        "error_code": error.code,
        "error_message": _storable(error.message)[:MAX_MESSAGE_CHARACTERS],
        "error_node": None if node is None else node[:_MAX_NODE_ID],
    }


def _storable(message: str) -> str:
    """Return the message without what no database stores: a node's may have anything."""
    return message.replace("\0", "\ufffd").encode(errors="replace").decode()


def enforce_size_limits(ending: RunResult) -> RunResult:
    """Drop node outputs that are too large; fail a run whose output is too large."""
    output, nodes = ending.output_data, ending.node_outputs
    if nodes is not None and len(nodes) > MAX_NODE_OUTPUTS_BYTES:
        nodes = None
    if output is not None and len(output) > MAX_OUTPUT_BYTES:
        message = f"output_data: expected at most {MAX_OUTPUT_BYTES} bytes, got {len(output)}"
        return RunResult(
            status=RunStatus.FAILED,
            node_outputs=nodes,
            error=RunError(code=FailureCode.FLOW_FAILED, message=message),
            duration_seconds=ending.duration_seconds,
            boot_seconds=ending.boot_seconds,
        )
    return ending if nodes is ending.node_outputs else replace(ending, node_outputs=nodes)


def result_bytes(ending: RunResult) -> int:
    """Return the size of what a run leaves behind when it ends."""
    return len(ending.output_data or b"") + len(ending.node_outputs or b"")


def new_run(new: NewRun, *, now: datetime, started: bool) -> Run:
    """Return a run just created, with times of this process's clock."""
    waits = (
        None if new.queue_timeout_seconds is None else timedelta(seconds=new.queue_timeout_seconds)
    )
    return Run(
        id=new.id,
        profile_id=new.profile_id,
        deployment_id=new.deployment_id,
        version=new.version,
        flow_id=new.flow_id,
        mode=new.mode,
        type=new.type,
        key_id=new.key_id,
        retry_of=new.retry_of,
        status=RunStatus.RUNNING if started else RunStatus.QUEUED,
        cancel_requested=False,
        timeout_seconds=new.timeout_seconds,
        retry_safe=new.retry_safe,
        attempt=int(started),
        max_attempts=new.max_attempts,
        event_count=0,
        created_at=now,
        queue_until=None if waits is None else now + waits,
        started_at=now if started else None,
        finished_at=None,
        duration_seconds=None,
        error=None,
        idempotency_key=None if new.idempotency is None else new.idempotency.key,
        test=new.test,
        request_id=_request_id(new.id, new.request_id or ""),
        traceparent=new.traceparent,
        labels=new.labels,
    )


def label_values(new: Sequence[NewRun]) -> Sequence[RowValues]:
    """Return the rows of the labels of new runs, as far as `statements.insert_labels` takes them.

    Empty where none of them has a label.
    """
    return [
        {"run_id": each.id, "key": key, "value": value}
        for each in new
        if each.labels is not None
        for key, value in each.labels.items()
    ]


def _labels_bytes(labels: Labels | None) -> int:
    if labels is None:
        return 0
    return sum(_LABEL_BYTES + 2 * (len(key) + len(value)) for key, value in labels.items())


def _request_id(run_id: str, stored: str | None) -> str | None:
    """Return the request's id from its column, in which "" stands for the one of the run's id."""
    return own_request_id(run_id) if stored == "" else stored


def initial_claim(new: NewRun, *, now: datetime, asked_at: float) -> Claim:
    """Return the claim of a run that was created and claimed at once."""
    return Claim(
        run_id=new.id,
        attempt=1,
        profile_id=new.profile_id,
        deployment_id=new.deployment_id,
        version=new.version,
        flow_id=new.flow_id,
        mode=new.mode,
        type=new.type,
        input_data=new.input_data or b"{}",
        timeout_seconds=new.timeout_seconds,
        created_at=now,
        started_at=now,
        asked_at=asked_at,
        key_id=new.key_id,
        test=new.test,
        traceparent=new.traceparent,
        tracestate=new.tracestate,
    )


def payload_values(new: NewRun) -> RowValues:
    """Return the columns of the payload of a new run."""
    return {"run_id": new.id, "input": new.input_data}
