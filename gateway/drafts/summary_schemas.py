"""Response bodies of summaries of flows."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict

from gateway.deployments.settings import ExecutionMode
from gateway.drafts.flow_summaries import FlowSummary
from gateway.storage.paging import Page


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


class FlowDeploymentOut(_Model):
    """A deployment of a flow."""

    id: str
    """Id of the deployment, as its routes take it."""
    name: str
    """Its name for people; calls use the id."""
    version: int
    """The live one."""
    execution_mode: ExecutionMode
    """How the API answers. `fast` requires one `api_input`, one `inference`, one `api_output`."""
    status: str
    """`active` or `paused`."""
    differs: bool
    """Whether the draft has another graph than the live version."""


class FlowDeploymentsOut(_Model):
    """The deployments of a flow."""

    count: int
    """How many there are."""
    live: list[FlowDeploymentOut]
    """The newest ten."""
    differs: bool
    """Whether the draft has another graph than one of these."""


class LastRunOut(_Model):
    """A run."""

    id: str
    """Id of the run, as its routes take it."""
    deployment_id: str
    """Id of the deployment, as its routes take it."""
    status: str
    """`queued`, `running`, `completed`, `failed` or `cancelled`."""
    error_code: str | None
    """The stable name of the reason why it failed or was cancelled; null: it did not, or has not
    ended."""
    duration_seconds: float | None
    """From its start to its end; null: it has not ended, or was never started."""
    created_at: datetime
    """When it was created (UTC)."""


class FlowSummaryOut(_Model):
    """A flow without its graph."""

    id: str
    """Id of the flow, as its routes take it."""
    name: str
    """The flow's name, for people."""
    nodes: int
    """How many nodes it has."""
    kinds: dict[str, int]
    """Node type → count."""
    models: list[str]
    """The models that it calls."""
    deployments: FlowDeploymentsOut
    """Its deployments: how many there are, and the newest ten."""
    last_run: LastRunOut | None
    """Of the deployments in `live`, without fast calls that were not recorded."""
    created_at: datetime
    """When it was created (UTC)."""
    updated_at: datetime
    """When it was last changed (UTC)."""
    updated_by: str | None
    """The e-mail address of the user who saved it last; null: not known."""
    etag: str
    """The `ETag` of the flow, for `If-Match`."""

    @classmethod
    def of(cls, summary: FlowSummary) -> Self:
        """Convert a summary."""
        flow = summary.row
        live = [FlowDeploymentOut.model_validate(one) for one in summary.deployments]
        run = summary.last_run
        return cls(
            id=flow.id,
            name=flow.name,
            nodes=len(flow.definition["nodes"]),
            kinds=dict(summary.kinds),
            models=list(summary.models),
            deployments=FlowDeploymentsOut(
                count=summary.deployment_count,
                live=live,
                differs=any(one.differs for one in live),
            ),
            last_run=None if run is None else LastRunOut.model_validate(run),
            created_at=flow.created_at,
            updated_at=flow.updated_at,
            updated_by=summary.updated_by,
            etag=summary.etag,
        )


class FlowSummaryPage(BaseModel):
    """A page of flows without their graphs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[FlowSummaryOut]
    """The flows of this page, in the order of `sort`."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[FlowSummary]) -> Self:
        """Convert a page of summaries."""
        items = [FlowSummaryOut.of(summary) for summary in page.items]
        return cls(items=items, next_cursor=page.next_cursor)
