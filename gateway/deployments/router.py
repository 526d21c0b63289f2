"""`/node/deployments/`; all routes need a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Response

from gateway.auth.access import Manager, manager
from gateway.auth.schemas import IssuedKeyOut, NewDeploymentKey
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
from gateway.deployments.schemas import (
    ChangedDeploymentOut,
    DeploymentIn,
    DeploymentOut,
    DeploymentPage,
    DeploymentPatch,
    NewDeploymentOut,
    PresetList,
)
from gateway.deployments.service import DeploymentService, RunCanceller
from gateway.deployments.settings import RunsOnDelete
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest

Service = Annotated[DeploymentService, from_app(DeploymentService)]
Canceller = Annotated[RunCanceller, from_app(RunCanceller)]
router = DocumentedRouter(prefix="/node/deployments", tags=["Deployments"])


@router.post("/", status_code=201, responses=CREATED)
async def create(
    service: Service, actor: Manager, response: Response, body: DeploymentIn
) -> NewDeploymentOut:
    """Deploy a flow. If no active key covers the deployment, one is created and shown once."""
    view = await service.create(
        actor.profile_id, body.flow_id, body.settings(), key_id=actor.key_id
    )
    set_etag(response, view.row)
    return NewDeploymentOut.of(view)


@router.get("/")
async def list_deployments(
    service: Service, actor: Manager, flow_id: str | None = None, page: PageRequest = Depends()
) -> DeploymentPage:
    """List your deployments, newest first; with `flow_id` those of one flow."""
    return DeploymentPage.of(await service.page(actor.profile_id, page, flow_id=flow_id))


@router.get("/presets/", dependencies=[Depends(manager)])
async def presets() -> PresetList:
    """List the presets: situations with their recommended settings."""
    return PresetList.listed()


@router.get("/{deployment_id}/", response_model=DeploymentOut, responses=SHOWN)
async def show(
    service: Service,
    actor: Manager,
    response: Response,
    deployment_id: str,
    if_none_match: IfNoneMatch,
) -> DeploymentOut | Response:
    """Show one deployment."""
    view = await service.get(actor.profile_id, deployment_id)
    return unless_matched(DeploymentOut.of(view), view.row, response, if_none_match)


@router.patch("/{deployment_id}/", responses=CHANGED)
async def change(
    service: Service,
    actor: Manager,
    response: Response,
    *,
    deployment_id: str,
    if_match: IfMatch,
    body: DeploymentPatch,
) -> ChangedDeploymentOut:
    """Change settings, without a new version. The secret of a new webhook is shown once."""
    view = await service.change(actor.profile_id, deployment_id, if_match=if_match, **body.change())
    set_etag(response, view.row)
    return ChangedDeploymentOut.of(view)


@router.post("/{deployment_id}/pause/")
async def pause(service: Service, actor: Manager, deployment_id: str) -> DeploymentOut:
    """Refuse calls with 409 until it is resumed; accepted runs continue."""
    return DeploymentOut.of(await service.pause(actor.profile_id, deployment_id))


@router.post("/{deployment_id}/resume/")
async def resume(service: Service, actor: Manager, deployment_id: str) -> DeploymentOut:
    """Accept calls again."""
    return DeploymentOut.of(await service.resume(actor.profile_id, deployment_id))


@router.post("/{deployment_id}/api-keys/", status_code=201)
async def generate_key(
    service: Service, actor: Manager, deployment_id: str, body: NewDeploymentKey | None = None
) -> IssuedKeyOut:
    """Create a key for this deployment only. The response shows it once."""
    wish = body or NewDeploymentKey()
    issued = await service.generate_key(
        actor.profile_id,
        deployment_id,
        name=wish.name,
        environment=wish.environment,
        expires_at=wish.expires_at,
        all_runs=wish.all_runs,
    )
    return IssuedKeyOut.of_issued(issued)


@router.delete("/{deployment_id}/", status_code=204)
async def delete(
    service: Service,
    canceller: Canceller,
    actor: Manager,
    deployment_id: str,
    *,
    if_match: IfMatch,
    runs: RunsOnDelete = RunsOnDelete.FINISH,
) -> None:
    """Delete a deployment; its URL then answers 410.

    Queued runs are cancelled. Running runs finish, or with `runs=cancel` are cancelled.
    """
    await service.delete(actor.profile_id, deployment_id, canceller, then=runs, if_match=if_match)
