"""`/node/flows/`."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway.auth.access import Access
from gateway.auth.identity import Identity
from gateway.flows.schemas import FlowIn, FlowOut, FlowPage, FlowPatch
from gateway.flows.service import FlowService
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest


def build_router(service: FlowService, access: Access) -> APIRouter:
    """Return the routes for flows; all need a `manage` key."""
    router = DocumentedRouter(prefix="/node/flows", tags=["Flows"])

    @router.post("/", status_code=201)
    async def create(body: FlowIn, actor: Identity = Depends(access.manager)) -> FlowOut:
        """Save a new flow."""
        return FlowOut.of(await service.create(actor.profile_id, body.draft()))

    @router.get("/")
    async def list_flows(
        page: PageRequest = Depends(), actor: Identity = Depends(access.manager)
    ) -> FlowPage:
        """List your flows, newest first."""
        return FlowPage.of(await service.page(actor.profile_id, page))

    @router.get("/{flow_id}/")
    async def show(flow_id: str, actor: Identity = Depends(access.manager)) -> FlowOut:
        """Show one flow."""
        return FlowOut.of(await service.get(actor.profile_id, flow_id))

    @router.put("/{flow_id}/")
    async def replace(
        flow_id: str, body: FlowIn, actor: Identity = Depends(access.manager)
    ) -> FlowOut:
        """Replace a flow's draft. Deployments keep their versions until they are redeployed."""
        flow = await service.update(
            actor.profile_id, flow_id, name=body.name, nodes=body.nodes, edges=body.edges
        )
        return FlowOut.of(flow)

    @router.patch("/{flow_id}/")
    async def change(
        flow_id: str, body: FlowPatch, actor: Identity = Depends(access.manager)
    ) -> FlowOut:
        """Change parts of a flow's draft."""
        flow = await service.update(
            actor.profile_id, flow_id, name=body.name, nodes=body.nodes, edges=body.edges
        )
        return FlowOut.of(flow)

    @router.delete("/{flow_id}/", status_code=204)
    async def delete(flow_id: str, actor: Identity = Depends(access.manager)) -> None:
        """Delete a flow that no deployment uses."""
        await service.delete(actor.profile_id, flow_id)

    return router
