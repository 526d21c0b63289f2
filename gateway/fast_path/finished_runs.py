"""Fast calls as runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter

from gateway.deployments.settings import NotificationMethod
from gateway.errors import GatewayError
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.fast_path.routes import ResolvedRoute
from gateway.ids import given_request_id
from gateway.runs.labels import read_labels
from gateway.runs.run import (
    MAX_OUTPUT_BYTES,
    FinishedRun,
    Idempotency,
    NewRun,
    RunError,
    RunResult,
    RunStatus,
)


def new_run(
    call: DeploymentCallRecord, route: ResolvedRoute, idempotency: Idempotency | None = None
) -> NewRun:
    """Return the run of a call. Its input is not kept."""
    deployment = route.deployment
    return NewRun(
        id=call.run_id,
        profile_id=deployment.profile_id,
        deployment_id=deployment.id,
        version=deployment.version,
        flow_id=deployment.flow_id,
        mode=deployment.mode,
        type=deployment.type,
        key_id=route.identity.key_id,
        input_data=None,
        timeout_seconds=deployment.timeout_seconds,
        idempotency=idempotency,
        request_id=given_request_id(call.headers),
        labels=read_labels(call.headers),
    )


def completed_run(
    call: DeploymentCallRecord, output_data: bytes | None = None, new: NewRun | None = None
) -> FinishedRun:
    """Return the run of a call that has just succeeded.

    Its output is kept for a webhook, which reports it, and for repetitions of the call.
    """
    assert call.route is not None
    new = _traced(call, new or new_run(call, call.route))
    notifies = call.route.deployment.notification_method is NotificationMethod.WEBHOOK
    if new.idempotency is None:
        too_large = output_data is not None and len(output_data) > MAX_OUTPUT_BYTES
        if not notifies or too_large:  # the run has completed all the same
            output_data = None
    return _finished(call, new, RunStatus.COMPLETED, output_data=output_data)


def _traced(call: DeploymentCallRecord, new: NewRun) -> NewRun:
    """Return the run with the trace of its call, to which its webhooks belong, too."""
    trace = call.trace
    if trace is None:
        return new
    return replace(new, traceparent=trace.traceparent, tracestate=trace.tracestate)


def failed_run(
    call: DeploymentCallRecord, error: GatewayError, new: NewRun | None = None
) -> FinishedRun:
    """Return the run of a call that an inference server has failed."""
    assert call.route is not None
    new = _traced(call, new or new_run(call, call.route))
    reason = RunError(code=error.code, message=error.message)
    return _finished(call, new, RunStatus.FAILED, error=reason)


def _finished(
    call: DeploymentCallRecord,
    new: NewRun,
    status: RunStatus,
    *,
    output_data: bytes | None = None,
    error: RunError | None = None,
) -> FinishedRun:
    ending = RunResult(
        status=status,
        output_data=output_data,
        error=error,
        duration_seconds=call.ended - call.began,
    )
    began = datetime.now(UTC) - timedelta(seconds=perf_counter() - call.began)
    return FinishedRun(new=new, ending=ending, started_at=began)
