"""The wire format of calls that are looked up."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict

from gateway.calls.advice import PartKind
from gateway.calls.explanation import Explanation
from gateway.calls.service import FoundCall
from gateway.deployments.settings import ExecutionMode
from gateway.ids import own_request_id


class CallOut(BaseModel):
    """One call of a deployment, without its input and its output."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    request_id: str
    """The `X-Request-ID` of its answer; of several calls with the same, this is the newest."""
    began_at: datetime
    """When its last header had arrived, or its run was created (UTC)."""
    deployment_id: str
    """Id of the deployment that was called; only zeros for a test of a draft."""
    deployment_name: str | None
    """Its name; null: it was deleted."""
    deployment_version: int | None
    """Number of the version that was called; null: it was refused before that was known."""
    execution_mode: ExecutionMode | None
    """How it was executed; null: it was refused before that was known."""
    api_key_id: str | None
    """Id of the key that it was sent with; null: a session's, or no valid one."""
    status: int | None
    """The HTTP status of its answer; null: only its run is known, as it was answered without an
    error and quickly."""
    code: str | None
    """The code of the error that it, or its run, has ended with; null: it has not failed."""
    phases: dict[str, float]
    """Milliseconds by phase, `auth`, `parse`, `queue`, `infer`, `serialise`, as far as they were
    measured: all of them of fast calls that have succeeded."""
    duration_seconds: float | None
    """From its last header to its answer, or from its run's creation to its end; null: its run has
    not ended."""
    flow_run_id: str | None
    """Id of its run, which has a timeline; null: it has none."""
    trace_id: str | None
    """The trace that it belongs to, 32 hexadecimal digits; null: it is not traced."""
    gateway: str | None
    """The gateway process and the host that answered, such as `gateway-4711@host`; null: only its
    run is known."""

    @classmethod
    def of(cls, found: FoundCall) -> Self:
        """Convert a call that was found."""
        call, run = found.call, found.run
        run_id, trace_id = (None, None) if run is None else (run.id, run.trace_id)
        if call is not None:
            return cls(
                request_id=call.request_id,
                began_at=call.began_at,
                deployment_id=call.deployment_id,
                deployment_name=found.deployment_name,
                deployment_version=call.version,
                execution_mode=None if call.mode is None else ExecutionMode(call.mode),
                api_key_id=call.key_id,
                status=call.status,
                code=call.code,
                phases=call.phases,
                duration_seconds=call.seconds,
                flow_run_id=run_id,
                trace_id=call.trace_id or trace_id,
                gateway=call.gateway,
            )
        assert run is not None
        ended = run.finished_at
        return cls(
            request_id=run.request_id or own_request_id(run.id),
            began_at=run.created_at,
            deployment_id=run.deployment_id,
            deployment_name=found.deployment_name,
            deployment_version=run.version,
            execution_mode=run.mode,
            api_key_id=run.key_id,
            status=None,
            code=None if run.error is None else run.error.code,
            phases={},
            duration_seconds=None if ended is None else (ended - run.created_at).total_seconds(),
            flow_run_id=run_id,
            trace_id=trace_id,
            gateway=None,
        )


class PartOut(BaseModel):
    """A part of a call's time."""

    kind: PartKind
    name: str
    begins_seconds: float
    duration_seconds: float
    share: float
    attempts: int


class ExplanationOut(BaseModel):
    """A call, the parts of its time in their order, and sentences for people."""

    call: CallOut
    duration_seconds: float
    parts: list[PartOut]
    findings: list[str]

    @classmethod
    def of(cls, found: FoundCall, explanation: Explanation) -> Self:
        """Convert the explanation of a call."""
        whole = explanation.seconds
        parts = [
            PartOut(
                kind=part.kind,
                name=part.name,
                begins_seconds=round(part.begins, 6),
                duration_seconds=round(part.seconds, 6),
                share=round(part.seconds / whole, 4) if whole else 0.0,
                attempts=part.attempts,
            )
            for part in explanation.parts
        ]
        return cls(
            call=CallOut.of(found),
            duration_seconds=round(whole, 6),
            parts=parts,
            findings=list(explanation.findings),
        )
