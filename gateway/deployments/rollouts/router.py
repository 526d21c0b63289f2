"""`/node/deployments/{id}/rollout/`; all routes need a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from gateway.auth.access import Manager
from gateway.dependencies import from_app
from gateway.deployments.rollouts.schemas import RolloutIn, RolloutOut, RolloutPatch
from gateway.deployments.rollouts.service import RolloutService
from gateway.operations import DocumentedRouter
from gateway.web.row_names import DeploymentId

Service = Annotated[RolloutService, from_app(RolloutService)]
router = DocumentedRouter(prefix="/node/deployments/{deployment_id}/rollout", tags=["Deployments"])


@router.post("/", status_code=201)
async def start_rollout(
    service: Service, actor: Manager, deployment_id: DeploymentId, body: RolloutIn
) -> RolloutOut:
    """Try a version beside the live one; it is rolled back by itself if it fails a check."""
    profile_id, key_id = actor.profile_id, actor.key_id
    rollout = await service.start(profile_id, deployment_id, body.rollout(), key_id=key_id)
    return RolloutOut.of(rollout)


@router.get("/")
async def show_rollout(service: Service, actor: Manager, deployment_id: DeploymentId) -> RolloutOut:
    """Show the last rollout, running or ended."""
    return RolloutOut.of(await service.get(actor.profile_id, deployment_id))


@router.patch("/")
async def change_rollout(
    service: Service, actor: Manager, deployment_id: DeploymentId, body: RolloutPatch
) -> RolloutOut:
    """Change how many calls the candidate gets."""
    return RolloutOut.of(await service.change_weight(actor.profile_id, deployment_id, body.weight))


@router.delete("/")
async def roll_back(service: Service, actor: Manager, deployment_id: DeploymentId) -> RolloutOut:
    """Roll the candidate back: the live version gets all calls again."""
    return RolloutOut.of(await service.end(actor.profile_id, deployment_id))
