"""`/node/deployments/`."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway.auth.access import Access
from gateway.auth.identity import Identity
from gateway.auth.schemas import IssuedKeyOut, NewDeploymentKey
from gateway.deployments.schemas import (
    ChangedDeploymentOut,
    DeploymentIn,
    DeploymentOut,
    DeploymentPage,
    DeploymentPatch,
    NewDeploymentOut,
    PresetList,
)
from gateway.deployments.service import CancelRuns, DeploymentService
from gateway.deployments.settings import RunsOnDelete
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest


def build_router(service: DeploymentService, access: Access, cancel_runs: CancelRuns) -> APIRouter:
    """Return the routes for deployments; all need a `manage` key."""
    router = DocumentedRouter(prefix="/node/deployments", tags=["Deployments"])

    @router.post("/", status_code=201)
    async def create(
        body: DeploymentIn, actor: Identity = Depends(access.manager)
    ) -> NewDeploymentOut:
        """Deploy a flow. If no active key covers the deployment, one is created and shown once."""
        view = await service.create(
            actor.profile_id, body.flow_id, body.settings(), key_id=actor.key_id
        )
        return NewDeploymentOut.of(view)

    @router.get("/")
    async def list_deployments(
        flow_id: str | None = None,
        page: PageRequest = Depends(),
        actor: Identity = Depends(access.manager),
    ) -> DeploymentPage:
        """List your deployments, newest first; with `flow_id` those of one flow."""
        return DeploymentPage.of(await service.page(actor.profile_id, page, flow_id=flow_id))

    @router.get("/presets/", dependencies=[Depends(access.manager)])
    async def presets() -> PresetList:
        """List the presets: situations with their recommended settings."""
        return PresetList.listed()

    @router.get("/{deployment_id}/")
    async def show(deployment_id: str, actor: Identity = Depends(access.manager)) -> DeploymentOut:
        """Show one deployment."""
        return DeploymentOut.of(await service.get(actor.profile_id, deployment_id))

    @router.patch("/{deployment_id}/")
    async def change(
        deployment_id: str, body: DeploymentPatch, actor: Identity = Depends(access.manager)
    ) -> ChangedDeploymentOut:
        """Change settings, without a new version. The secret of a new webhook is shown once."""
        view = await service.change(actor.profile_id, deployment_id, **body.change())
        return ChangedDeploymentOut.of(view)

    @router.post("/{deployment_id}/pause/")
    async def pause(deployment_id: str, actor: Identity = Depends(access.manager)) -> DeploymentOut:
        """Refuse calls with 409 until it is resumed; accepted runs continue."""
        return DeploymentOut.of(await service.pause(actor.profile_id, deployment_id))

    @router.post("/{deployment_id}/resume/")
    async def resume(
        deployment_id: str, actor: Identity = Depends(access.manager)
    ) -> DeploymentOut:
        """Accept calls again."""
        return DeploymentOut.of(await service.resume(actor.profile_id, deployment_id))

    @router.post("/{deployment_id}/api-keys/", status_code=201)
    async def generate_key(
        deployment_id: str,
        body: NewDeploymentKey | None = None,
        actor: Identity = Depends(access.manager),
    ) -> IssuedKeyOut:
        """Create a key for this deployment only. The response shows it once."""
        wish = body or NewDeploymentKey()
        issued = await service.generate_key(
            actor.profile_id,
            deployment_id,
            name=wish.name,
            environment=wish.environment,
            expires_at=wish.expires_at,
        )
        return IssuedKeyOut.of_issued(issued)

    @router.delete("/{deployment_id}/", status_code=204)
    async def delete(
        deployment_id: str,
        runs: RunsOnDelete = RunsOnDelete.FINISH,
        actor: Identity = Depends(access.manager),
    ) -> None:
        """Delete a deployment; its URL then answers 410.

        Queued runs are cancelled. Running runs finish, or with `runs=cancel` are cancelled.
        """
        await service.delete(actor.profile_id, deployment_id, cancel_runs, then=runs)

    return router
