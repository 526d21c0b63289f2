"""Response bodies of runs. Single runs are serialized by `responses.py`; here for OpenAPI only."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.runs.run import Run
from gateway.storage.paging import Page


class DeletedRuns(BaseModel):
    """What a deletion has done."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    deleted: int
    """0: no finished run matches."""


class RunErrorOut(BaseModel):
    """Why a run has no result."""

    model_config = ConfigDict(from_attributes=True)

    code: str
    message: str
    node_id: str | None


class RunSummary(BaseModel):
    """A run in a list, without its outputs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    flow_run_id: str
    deployment_id: str
    deployment_version: int
    flow_id: str
    execution_mode: ExecutionMode
    deployment_type: DeploymentType
    status: str
    """`queued`, `running`, `cancelling`, `completed`, `failed` or `cancelled`."""
    attempt: int
    """How often the run was started: more than once if a worker was lost."""
    error: RunErrorOut | None
    duration_seconds: float | None
    queue_seconds: float | None
    """Time before it was started; null while it is queued."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    retry_of: str | None
    """The failed run that this one retries."""
    api_key_id: str | None
    idempotency_key: str | None

    @classmethod
    def of(cls, run: Run) -> Self:
        """Convert a run."""
        return cls(
            flow_run_id=run.id,
            deployment_id=run.deployment_id,
            deployment_version=run.version,
            flow_id=run.flow_id,
            execution_mode=run.mode,
            deployment_type=run.type,
            status=run.shown_status,
            attempt=run.attempt,
            error=None if run.error is None else RunErrorOut.model_validate(run.error),
            duration_seconds=run.duration_seconds,
            queue_seconds=run.queue_seconds,
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            retry_of=run.retry_of,
            api_key_id=run.key_id,
            idempotency_key=run.idempotency_key,
        )


class RunPage(BaseModel):
    """A page of runs."""

    items: list[RunSummary]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Run]) -> Self:
        """Convert a page of runs."""
        items = [RunSummary.of(run) for run in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


class RunOut(BaseModel):
    """A run, in the format `flat`; `envelope` is `{"status", "message", "data"}` around it."""

    flow_run_id: str
    deployment_id: str
    deployment_version: int
    flow_id: str
    execution_mode: ExecutionMode
    deployment_type: DeploymentType
    status: str
    attempt: int
    error: RunErrorOut | None
    duration_seconds: float | None
    queue_seconds: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    retry_of: str | None
    # Any: what the flow's nodes give
    output_data: dict[str, Any] | None
    node_outputs: dict[str, Any] | None
    message: str
    data: dict[str, Any] | None = None
    """The same fields once more, without `message`; absent if the outputs exceed 64 KiB."""


class EnvelopeOut(BaseModel):
    """Any response about runs with `response_format=envelope`."""

    status: Literal["success", "error"]
    message: str
    # Any: the fields of the flat response
    data: dict[str, Any]


class AcceptedOut(BaseModel):
    """A run that continues in the background."""

    flow_run_id: str
    status: str
    message: str
    # Any: id and status repeated
    data: dict[str, Any]


class RetriedVersion(StrEnum):
    """The version that a retry runs."""

    SAME = "same"
    """The version that failed."""
    LATEST = "latest"
    """The live version."""
