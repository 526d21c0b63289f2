"""What receivers of webhooks get, for the OpenAPI document; `gateway.webhooks.events` makes it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict

from gateway.operations import operation_id


class RunFailure(BaseModel):
    """Why a run has no result."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """The stable name of the reason, such as `flow_failed`, `timeout` or `worker_lost`."""
    message: str
    """What happened, for people."""
    node_id: str | None
    """Id of the node that it is about; null: it is about none."""


class _EventRun(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    flow_run_id: str
    """Id of the run, as its routes take it."""
    deployment_id: str
    """Id of the deployment that was called."""
    deployment_version: int
    """Number of the version of the deployment that it runs."""
    flow_id: str
    """Id of the flow that it runs a version of."""
    execution_mode: Literal["sync", "async", "fast"]
    """How the call was answered."""
    metadata: dict[str, str]
    """The labels of the call, from its header `Slipstream-Metadata`; empty: it had none."""
    created_at: datetime
    """When it was created (UTC)."""
    started_at: datetime | None
    """When a process last took it to execute it (UTC); null: none has."""
    result_url: str
    """Where the run can be read, with an API key."""


class StartedRun(_EventRun):
    """A run that has started."""

    status: Literal["running"]
    """Always `running`."""
    sequence: Literal[1]
    """The place of the event among those of the run."""


class EndedRun(_EventRun):
    """A run that has ended."""

    status: Literal["completed", "failed", "cancelled"]
    """How it ended."""
    # Any: what the flow's nodes give
    output_data: dict[str, Any] | None
    """What the flow returned; null: it has not completed, or the event would exceed 256 KiB."""
    node_outputs: dict[str, Any] | None
    """Node id → what the node gave; empty if the deployment leaves them out, null as above."""
    output_truncated: Literal[True] | None = None
    """Whether outputs were left out because of their size; else absent."""
    error: RunFailure | None
    """Why it failed or was cancelled; null: it did not."""
    duration_seconds: float | None
    """From its start to its end; null: it was never started."""
    finished_at: datetime | None
    """When it ended (UTC)."""
    sequence: Literal[2]
    """The place of the event among those of the run."""


class StartedEvent(BaseModel):
    """The event `run.started`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["run.started"]
    """The event."""
    timestamp: datetime
    """When the run started (UTC)."""
    data: StartedRun
    """The run."""


class CompletedEvent(BaseModel):
    """The event `run.completed`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["run.completed"]
    """The event."""
    timestamp: datetime
    """When the run ended (UTC)."""
    data: EndedRun
    """The run."""


class FailedEvent(BaseModel):
    """The event `run.failed`; of a cancelled run, too, without a subscription to that."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["run.failed"]
    """The event."""
    timestamp: datetime
    """When the run ended (UTC)."""
    data: EndedRun
    """The run."""


class CancelledEvent(BaseModel):
    """The event `run.cancelled`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["run.cancelled"]
    """The event."""
    timestamp: datetime
    """When the run ended (UTC)."""
    data: EndedRun
    """The run."""


MessageId = Annotated[
    str, Header(description="The same for each attempt: receivers drop what they have handled.")
]
Timestamp = Annotated[str, Header(description="When the attempt was signed: seconds since 1970.")]
Signature = Annotated[
    str, Header(description="`v1,…`: HMAC-SHA256 with the secret; two during an overlap.")
]

webhooks = APIRouter(generate_unique_id_function=operation_id)
"""The events of Standard Webhooks 1.0.0 that are sent to a deployment's `callback_url`."""


@webhooks.post("run.started", operation_id="receive_run_started", tags=["Webhooks"])
async def receive_run_started(
    event: StartedEvent,
    webhook_id: MessageId,
    webhook_timestamp: Timestamp,
    webhook_signature: Signature,
) -> None:
    """A run has started."""


@webhooks.post("run.completed", operation_id="receive_run_completed", tags=["Webhooks"])
async def receive_run_completed(
    event: CompletedEvent,
    webhook_id: MessageId,
    webhook_timestamp: Timestamp,
    webhook_signature: Signature,
) -> None:
    """A run has a result."""


@webhooks.post("run.failed", operation_id="receive_run_failed", tags=["Webhooks"])
async def receive_run_failed(
    event: FailedEvent,
    webhook_id: MessageId,
    webhook_timestamp: Timestamp,
    webhook_signature: Signature,
) -> None:
    """A run has failed. It was cancelled if `run.cancelled` is not subscribed to."""


@webhooks.post("run.cancelled", operation_id="receive_run_cancelled", tags=["Webhooks"])
async def receive_run_cancelled(
    event: CancelledEvent,
    webhook_id: MessageId,
    webhook_timestamp: Timestamp,
    webhook_signature: Signature,
) -> None:
    """A run was cancelled."""
