"""`/node/flows/`; all routes need a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Response

from gateway.auth.access import Manager
from gateway.conditional_requests import (
    CHANGED,
    CREATED,
    SHOWN,
    IfMatch,
    IfNoneMatch,
    set_etag,
    unless_matched,
)
from gateway.dependencies import from_app
from gateway.flows.schemas import FlowIn, FlowOut, FlowPatch, SavedFlowOut
from gateway.flows.service import FlowService
from gateway.operations import BodyLimit, DocumentedRouter
from gateway.web.row_names import FlowId

Service = Annotated[FlowService, from_app(FlowService)]
MAX_BODY_BYTES = 4 * 2**20
"""Of a request with a flow."""
router = DocumentedRouter(
    prefix="/node/flows", tags=["Flows"], dependencies=[Depends(BodyLimit(MAX_BODY_BYTES))]
)


@router.post("/", status_code=201, responses=CREATED)
async def create(
    service: Service, actor: Manager, response: Response, body: FlowIn
) -> SavedFlowOut:
    """Save a new flow. `warnings` names the models that the model store does not have."""
    flow = await service.create(actor.profile_id, body.draft())
    set_etag(response, flow)
    return SavedFlowOut.of_saved(flow, await service.warnings_about(flow))


@router.get("/{flow_id}/", response_model=FlowOut, responses=SHOWN)
async def show(
    service: Service,
    actor: Manager,
    response: Response,
    flow_id: FlowId,
    if_none_match: IfNoneMatch,
) -> FlowOut | Response:
    """Show one flow."""
    flow = await service.get(actor.profile_id, flow_id)
    return unless_matched(FlowOut.of(flow), flow, response, if_none_match)


@router.put("/{flow_id}/", responses=CHANGED, openapi_extra={"x-needs-if-match": True})
async def replace(
    service: Service,
    actor: Manager,
    response: Response,
    *,
    flow_id: FlowId,
    if_match: IfMatch,
    body: FlowIn,
) -> SavedFlowOut:
    """Replace a flow's draft. Deployments keep their versions until they are redeployed.

    Console sessions must send `If-Match`.
    """
    flow = await service.update(
        actor.profile_id,
        flow_id,
        name=body.name,
        nodes=body.nodes,
        edges=body.edges,
        if_match=if_match,
        needs_if_match=actor.session_id is not None,
    )
    set_etag(response, flow)
    return SavedFlowOut.of_saved(flow, await service.warnings_about(flow))


@router.patch("/{flow_id}/", responses=CHANGED)
async def change(
    service: Service,
    actor: Manager,
    response: Response,
    *,
    flow_id: FlowId,
    if_match: IfMatch,
    body: FlowPatch,
) -> SavedFlowOut:
    """Change parts of a flow's draft."""
    flow = await service.update(
        actor.profile_id,
        flow_id,
        name=body.name,
        nodes=body.nodes,
        edges=body.edges,
        if_match=if_match,
    )
    set_etag(response, flow)
    return SavedFlowOut.of_saved(flow, await service.warnings_about(flow))


@router.delete("/{flow_id}/", status_code=204)
async def delete(service: Service, actor: Manager, flow_id: FlowId, if_match: IfMatch) -> None:
    """Delete a flow that no deployment uses."""
    await service.delete(actor.profile_id, flow_id, if_match=if_match)
