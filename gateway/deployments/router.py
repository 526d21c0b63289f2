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
    Answers,
    IfMatch,
    IfNoneMatch,
    set_etag,
    unless_matched,
)
from gateway.dependencies import from_app
from gateway.deployments.advice_service import AdviceService
from gateway.deployments.planner import DeploymentPlanner
from gateway.deployments.schemas import (
    AdviceList,
    ChangedDeploymentOut,
    DeploymentIn,
    DeploymentOut,
    DeploymentPage,
    DeploymentPatch,
    DeploymentPlanOut,
    NewDeploymentOut,
    PresetList,
)
from gateway.deployments.service import DeploymentService, RunCanceller
from gateway.deployments.settings import RunsOnDelete
from gateway.deployments.store import DeploymentFilter
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest
from gateway.web.public_url import PublicUrl
from gateway.web.row_names import DeploymentId

Service = Annotated[DeploymentService, from_app(DeploymentService)]
Planner = Annotated[DeploymentPlanner, from_app(DeploymentPlanner)]
Adviser = Annotated[AdviceService, from_app(AdviceService)]
Canceller = Annotated[RunCanceller, from_app(RunCanceller)]
router = DocumentedRouter(prefix="/node/deployments", tags=["Deployments"])
_PLANNED: Answers = {200: {"description": "With `dry_run`.", "model": DeploymentPlanOut}}


@router.post("/", status_code=201, responses={**CREATED, **_PLANNED})
async def create(
    service: Service,
    planner: Planner,
    actor: Manager,
    response: Response,
    *,
    url: PublicUrl,
    body: DeploymentIn,
    dry_run: bool = False,
) -> NewDeploymentOut | DeploymentPlanOut:
    """Deploy a flow. A key that is created with it is shown once.

    With `dry_run` nothing is made: the answer is 200, and its checks say what would be refused.
    """
    if dry_run:
        plan = await planner.plan(actor.profile_id, body.flow_id, body.settings(), body.launch())
        response.status_code = 200
        return DeploymentPlanOut.of(plan)
    view = await service.create(
        actor.profile_id,
        body.flow_id,
        body.settings(),
        key_id=actor.key_id,
        launch=body.launch(),
    )
    set_etag(response, view.row)
    return NewDeploymentOut.of(view, url)


@router.get("/")
async def list_deployments(
    service: Service,
    actor: Manager,
    url: PublicUrl,
    page: PageRequest = Depends(),
    wanted: DeploymentFilter = Depends(),
) -> DeploymentPage:
    """List your deployments, newest first.

    With `flow_id` those of one flow, with `q` those whose name contains it, with `mode` those that
    answer so, with `status` those that are active or paused.
    """
    return DeploymentPage.of(await service.page(actor.profile_id, page, wanted), url)


@router.get("/presets/", dependencies=[Depends(manager)])
async def presets() -> PresetList:
    """List the presets: situations with their recommended settings."""
    return PresetList.listed()


@router.get("/{deployment_id}/", response_model=DeploymentOut, responses=SHOWN)
async def show(
    service: Service,
    actor: Manager,
    response: Response,
    *,
    url: PublicUrl,
    deployment_id: DeploymentId,
    if_none_match: IfNoneMatch,
) -> DeploymentOut | Response:
    """Show one deployment."""
    view = await service.get(actor.profile_id, deployment_id)
    return unless_matched(DeploymentOut.of(view, url), view.row, response, if_none_match)


@router.patch("/{deployment_id}/", responses=CHANGED)
async def change(
    service: Service,
    actor: Manager,
    response: Response,
    *,
    url: PublicUrl,
    deployment_id: DeploymentId,
    if_match: IfMatch,
    body: DeploymentPatch,
) -> ChangedDeploymentOut:
    """Change settings, without a new version. The secret of a new webhook is shown once."""
    view = await service.change(actor.profile_id, deployment_id, if_match=if_match, **body.change())
    set_etag(response, view.row)
    return ChangedDeploymentOut.of(view, url)


@router.get("/{deployment_id}/advice/")
async def advice(service: Adviser, actor: Manager, deployment_id: DeploymentId) -> AdviceList:
    """Advise on its settings, by the calls of the last 24 hours; each with its evidence."""
    return AdviceList.of(await service.advice(actor.profile_id, deployment_id))


@router.post("/{deployment_id}/pause/")
async def pause(
    service: Service, actor: Manager, url: PublicUrl, deployment_id: DeploymentId
) -> DeploymentOut:
    """Refuse calls with 409 until it is resumed; accepted runs continue."""
    return DeploymentOut.of(await service.pause(actor.profile_id, deployment_id), url)


@router.post("/{deployment_id}/resume/")
async def resume(
    service: Service, actor: Manager, url: PublicUrl, deployment_id: DeploymentId
) -> DeploymentOut:
    """Accept calls again."""
    return DeploymentOut.of(await service.resume(actor.profile_id, deployment_id), url)


@router.post("/{deployment_id}/api-keys/", status_code=201)
async def generate_key(
    service: Service,
    actor: Manager,
    deployment_id: DeploymentId,
    body: NewDeploymentKey | None = None,
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
    deployment_id: DeploymentId,
    *,
    if_match: IfMatch,
    runs: RunsOnDelete = RunsOnDelete.FINISH,
) -> None:
    """Delete a deployment; its URL then answers 410.

    Queued runs are cancelled. Running runs finish, or with `runs=cancel` are cancelled.
    """
    await service.delete(actor.profile_id, deployment_id, canceller, then=runs, if_match=if_match)
