"""`/node/flows/{flow_id}/revisions/`; all routes need a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path

from gateway.auth.access import Manager
from gateway.dependencies import from_app
from gateway.flows.revision_schemas import (
    FlowRevisionOut,
    FlowRevisionPage,
    FlowRevisionSummary,
    RevisionNameIn,
)
from gateway.flows.revisions import MAX_NUMBER, FlowRevisions
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest
from gateway.web.row_names import FlowId

Revisions = Annotated[FlowRevisions, from_app(FlowRevisions)]
Number = Annotated[int, Path(ge=1, le=MAX_NUMBER)]
router = DocumentedRouter(prefix="/node/flows/{flow_id}/revisions", tags=["Flows"])


@router.get("/")
async def list_revisions(
    revisions: Revisions, actor: Manager, flow_id: FlowId, page: PageRequest = Depends()
) -> FlowRevisionPage:
    """List what a flow was, newest first; the first revision is the present draft.

    A save within a minute replaces the revision before, unless it has a name. The last 50 revisions
    without and the last 50 with a name are kept, up to 32 MiB.
    """
    return FlowRevisionPage.of(await revisions.page(actor.profile_id, flow_id, page))


@router.post("/", status_code=201)
async def name_revision(
    revisions: Revisions, actor: Manager, flow_id: FlowId, body: RevisionNameIn
) -> FlowRevisionSummary:
    """Name the present draft, and keep it as a revision."""
    return FlowRevisionSummary.of(await revisions.name(actor.profile_id, flow_id, body.name))


@router.get("/{number}/")
async def show_revision(
    revisions: Revisions, actor: Manager, flow_id: FlowId, number: Number
) -> FlowRevisionOut:
    """Show one revision with its graph. To go back to it, replace the flow with it."""
    return FlowRevisionOut.of_whole(await revisions.get(actor.profile_id, flow_id, number))
