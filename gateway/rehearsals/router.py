"""`/node/deployments/{id}/rehearse/`; needs a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from gateway.auth.access import Manager
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter
from gateway.rehearsals.schemas import RehearsalList, RehearsalOut, RehearseIn
from gateway.rehearsals.service import RehearsalService
from gateway.web.row_names import DeploymentId

Service = Annotated[RehearsalService, from_app(RehearsalService)]
router = DocumentedRouter(prefix="/node/deployments/{deployment_id}", tags=["Deployments"])


@router.post("/rehearse/", status_code=202)
async def rehearse(
    service: Service,
    actor: Manager,
    deployment_id: DeploymentId,
    response: Response,
    body: RehearseIn | None = None,
) -> RehearsalOut:
    """Run the draft on the inputs of the last finished runs, and compare what it answers.

    It goes on in the background, by test runs, of which a few run at once. Progress is told by the
    topic `rehearsals` of `GET /node/events/`. A deployment has one rehearsal at a time: another one
    is answered 409 with `rehearsal_id`. Nodes that may call other systems need `allow_requests`.
    """
    asked = body or RehearseIn()
    found = await service.begin(
        actor, deployment_id, asked.last, allow_requests=asked.allow_requests
    )
    response.headers["location"] = f"/node/deployments/{found.row.deployment_id}/rehearsals/"
    return RehearsalOut.of(found)


@router.get("/rehearsals/")
async def list_rehearsals(
    service: Service, actor: Manager, deployment_id: DeploymentId
) -> RehearsalList:
    """Return the last rehearsal, which is kept for a day; it may go on."""
    return RehearsalList.of(await service.kept(actor.profile_id, deployment_id))


@router.post("/rehearsals/cancel/")
async def cancel_rehearsal(
    service: Service, actor: Manager, deployment_id: DeploymentId
) -> RehearsalList:
    """End the rehearsal that goes on, with what it has compared; its tests are cancelled.

    One that has ended stays as it is. The answer is that of `GET`.
    """
    return RehearsalList.of(await service.cancel(actor.profile_id, deployment_id))
