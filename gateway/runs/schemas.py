"""Response bodies of runs. Single runs are serialized by `responses.py`; here for OpenAPI only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.runs.responses import run_urls
from gateway.runs.run import Run, ShownStatus
from gateway.runs.timeline import NOTES, NoteCode, SpanKind, TimelinePage
from gateway.storage.paging import Page


class DeletedRuns(BaseModel):
    """What a deletion has done."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    deleted: int
    """0: no finished run matches."""


class RunErrorOut(BaseModel):
    """Why a run has no result."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    code: str
    """The stable name of the reason, such as `flow_failed`, `timeout` or `worker_lost`."""
    message: str
    """What happened, for people."""
    node_id: str | None
    """Id of the node that it is about; null: it is about none."""


class RunUrls(BaseModel):
    """What can be done with a run: paths on this host."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    get: str
    """GET shows the run."""
    events: str
    """GET follows it, as server-sent events."""
    cancel: str | None = None
    """POST cancels it; absent or null: it has ended, or is being cancelled."""


class RunSummary(BaseModel):
    """A run in a list, without its outputs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    flow_run_id: str
    """Id of the run, as its routes take it."""
    deployment_id: str
    """Id of the deployment that was called; only zeros for a test of a draft."""
    deployment_version: int
    """Number of the version of the deployment that it runs; 0 for a test of a draft."""
    flow_id: str
    """Id of the flow that it runs a version or a draft of; only zeros for a draft that is not
    saved."""
    execution_mode: ExecutionMode
    """How the call was answered; its header `Prefer` may ask for another mode than the
    deployment's."""
    deployment_type: DeploymentType
    """Where the flow runs: `api`: on a worker; `server`: in the gateway process."""
    status: ShownStatus
    """`cancelling` until what executes it has stopped."""
    attempt: int
    """How often the run was started: more than once if a worker was lost."""
    error: RunErrorOut | None
    """Why it failed or was cancelled; null: it did not, or has not ended."""
    duration_seconds: float | None
    """From its start to its end; null: it has not ended, or was never started."""
    queue_seconds: float | None
    """Time before it was started; null while it is queued."""
    created_at: datetime
    """When it was created (UTC)."""
    started_at: datetime | None
    """When a process last took it to execute it (UTC); null: none has."""
    finished_at: datetime | None
    """When it ended (UTC); null: it has not."""
    retry_of: str | None
    """The failed run that this one retries."""
    api_key_id: str | None
    """Null for calls by a session."""
    idempotency_key: str | None
    """The `Idempotency-Key` of the call; null: it had none."""
    test: bool
    """Whether it tests a draft; then `deployment_id` has only zeros."""
    request_id: str | None
    """The `X-Request-ID` of the request that made it; null: an older version did not keep it."""
    trace_id: str | None
    """The trace that it belongs to, 32 hexadecimal digits; null: it is not traced."""
    metadata: dict[str, str]
    """The labels of the call, from its header `Slipstream-Metadata`; empty: it had none."""
    urls: RunUrls
    """What can be done with it: paths on this host."""
    deployment_name: str | None = None
    """Null for keys of scope `trigger`."""
    api_key_name: str | None = None
    """Null without a key, for a deleted one, and for keys of scope `trigger`."""

    @classmethod
    def of(cls, run: Run, names: Mapping[str, str] | None = None) -> Self:
        """Convert a run; `names` are those of its deployment and its key, by id."""
        known = names or {}
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
            test=run.test,
            request_id=run.request_id,
            trace_id=run.trace_id,
            metadata=dict(run.labels or {}),
            urls=RunUrls(**run_urls(run)),
            deployment_name=known.get(run.deployment_id),
            api_key_name=known.get(run.key_id or ""),
        )


class RunPage(BaseModel):
    """A page of runs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[RunSummary]
    """The runs of this page, the newest first."""
    next_cursor: str | None
    """Also where this page has room: it ends after 10,000 runs of which few or none match."""

    @classmethod
    def of(cls, page: Page[Run], names: Mapping[str, str] | None = None) -> Self:
        """Convert a page of runs."""
        items = [RunSummary.of(run, names) for run in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


class RunOut(BaseModel):
    """A run, in the format `flat`; `envelope` is `{"status", "message", "data"}` around it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    flow_run_id: str
    """Id of the run, as its routes take it."""
    deployment_id: str
    """Id of the deployment that was called; only zeros for a test of a draft."""
    deployment_version: int
    """Number of the version of the deployment that it runs; 0 for a test of a draft."""
    flow_id: str
    """Id of the flow that it runs a version or a draft of; only zeros for a draft that is not
    saved."""
    execution_mode: ExecutionMode
    """How the call was answered; its header `Prefer` may ask for another mode than the
    deployment's."""
    deployment_type: DeploymentType
    """Where the flow runs: `api`: on a worker; `server`: in the gateway process."""
    status: ShownStatus
    """`cancelling` until what executes it has stopped."""
    attempt: int
    """How often the run was started: more than once if a worker was lost."""
    error: RunErrorOut | None
    """Why it failed or was cancelled; null: it did not, or has not ended."""
    duration_seconds: float | None
    """From its start to its end; null: it has not ended, or was never started."""
    queue_seconds: float | None
    """Time before it was started; null while it is queued."""
    created_at: datetime
    """When it was created (UTC)."""
    started_at: datetime | None
    """When a process last took it to execute it (UTC); null: none has."""
    finished_at: datetime | None
    """When it ended (UTC); null: it has not."""
    retry_of: str | None
    """The failed run that this one retries."""
    test: bool
    """Whether it tests a draft; then `deployment_id` has only zeros."""
    # Any: what the flow's nodes give
    api_key_id: str | None
    """Null for calls by a session."""
    request_id: str | None
    """The `X-Request-ID` of the request that made it; null: an older version did not keep it."""
    trace_id: str | None
    """The trace that it belongs to, 32 hexadecimal digits; null: it is not traced."""
    metadata: dict[str, str]
    """The labels of the call, from its header `Slipstream-Metadata`; empty: it had none."""
    urls: RunUrls
    """What can be done with it: paths on this host."""
    deployment_name: str | None = None
    """For sessions and `manage` keys."""
    api_key_name: str | None = None
    """For sessions and `manage` keys; null without a key, and for a deleted one."""
    # Any: what the flow's nodes took and give
    input_data: dict[str, Any] | None = None
    """Null: it was not kept."""
    output_data: dict[str, Any] | None
    """What the flow returned; null: it has not completed, or the output of a fast call was not
    kept."""
    node_outputs: dict[str, Any] | None
    """Node id → what the node gave, with its status and times; empty until the run has ended, or if
    the deployment leaves them out. Null: they were not kept, such as those over 4 MiB."""
    message: str
    """A sentence for people: the state, or why it failed."""
    data: dict[str, Any] | None = None
    """The same fields once more, without `message` and `input_data`.

    Absent if the outputs exceed 64 KiB."""


class SpanOut(BaseModel):
    """A span of time of a run."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    """The same each time."""
    kind: SpanKind
    """What the time passed with: `queue` until a process took it, `claim` until its first node,
    `boot` waiting for an inference server, `node` in a node, `cancel` and `finish` until its end,
    `webhook` delivering an event."""
    name: str
    """For people: the node's name, the event of a webhook, `inference` of a fast call, else the
    kind."""
    node_id: str | None
    """Id of the node that it is about; null: it is about none, or which is not known."""
    attempt: int | None
    """Of the run, or of a webhook's delivery."""
    started_at: datetime | None
    """Null: it never started, or that was not recorded."""
    ended_at: datetime | None
    """Null: it has not ended, or `started_at` is null."""
    status: str
    """Of a node: `completed`, `failed`, `skipped` or `cancelled`; of a webhook: the result of the
    attempt, or the delivery's status; else the status of the run."""
    # Any: facts of the kind
    detail: dict[str, Any]
    """Facts of its kind, such as `error`, `type`, `attempts`, `duration_seconds`, `status_code`."""


class TimelineNoteOut(BaseModel):
    """What is missing in a timeline, and why."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: NoteCode
    """`start_times_unknown`, `nodes_unknown`, `earlier_attempts_unknown` or
    `cancel_time_unknown`."""
    text: str
    """The same as a sentence for people."""


class TimelineOut(BaseModel):
    """What happened to a run and when, in the order in which it is shown."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    flow_run_id: str
    """Id of the run, as its routes take it."""
    status: str
    """`cancelling` until what executes it has stopped."""
    created_at: datetime
    """When it was created (UTC)."""
    finished_at: datetime | None
    """When it ended (UTC); null: it has not."""
    spans: list[SpanOut]
    """The spans of this page, in the order in which they are shown."""
    total: int
    """Of all pages."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""
    notes: list[TimelineNoteOut]
    """What is missing in the timeline, and why."""

    @classmethod
    def of(cls, page: TimelinePage) -> Self:
        """Convert a page of a timeline."""
        run = page.run
        return cls(
            flow_run_id=run.id,
            status=run.shown_status,
            created_at=run.created_at,
            finished_at=run.finished_at,
            spans=[SpanOut.model_validate(span) for span in page.spans],
            total=page.total,
            next_cursor=page.next_cursor,
            notes=[TimelineNoteOut(code=code, text=NOTES[code]) for code in page.notes],
        )


class EnvelopeOut(BaseModel):
    """Any response about runs with `response_format=envelope`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Literal["success", "error"]
    """`error` for a poll of a run that failed or was cancelled, else `success`."""
    message: str
    """A sentence for people."""
    # Any: the fields of the flat response
    data: dict[str, Any]
    """The members of the flat body, without `message` and `data`."""


class AcceptedOut(BaseModel):
    """A run that continues in the background."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    flow_run_id: str
    """Id of the run, as its routes take it."""
    status: ShownStatus
    """`cancelling` until what executes it has stopped."""
    urls: RunUrls
    """What can be done with it: paths on this host."""
    message: str
    """A sentence for people."""
    # Any: the members repeated
    data: dict[str, Any]
    """`flow_run_id`, `status` and `urls` once more."""


Accepted = Annotated[AcceptedOut | EnvelopeOut, Field(discriminator="status")]
"""The answer of a call whose run goes on."""
Polled = Annotated[RunOut | EnvelopeOut, Field(discriminator="status")]
"""The answer of a poll."""


class RetriedVersion(StrEnum):
    """The version that a retry runs."""

    SAME = "same"
    """The version that failed."""
    LATEST = "latest"
    """The live version."""
