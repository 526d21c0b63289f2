"""`/node/deployments/{id}/versions/`, redeploy, promote and diff.

All routes need a `manage` key or a session.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path

from gateway.auth.access import Manager
from gateway.dependencies import from_app
from gateway.deployments.schemas import DeploymentOut
from gateway.deployments.snapshots import VersionNote
from gateway.deployments.version_schemas import (
    DifferenceOut,
    VersionNoteIn,
    VersionOut,
    VersionPage,
)
from gateway.deployments.versions import DRAFT, LIVE, VersionService
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest
from gateway.web.public_url import PublicUrl
from gateway.web.row_names import DeploymentId

Number = Annotated[int, Path(ge=1, le=999_999_999)]


Service = Annotated[VersionService, from_app(VersionService)]
router = DocumentedRouter(prefix="/node/deployments/{deployment_id}", tags=["Deployments"])


@router.post("/redeploy/")
async def redeploy(
    service: Service,
    actor: Manager,
    url: PublicUrl,
    deployment_id: DeploymentId,
    body: VersionNoteIn | None = None,
) -> DeploymentOut:
    """Deploy the flow's current draft to the same URL, as a new version."""
    view = await service.redeploy(
        actor.profile_id,
        deployment_id,
        key_id=actor.key_id,
        note=VersionNote() if body is None else body.note(),
    )
    return DeploymentOut.of(view, url)


@router.get("/diff/")
async def diff(
    service: Service,
    actor: Manager,
    deployment_id: DeploymentId,
    before: str = LIVE,
    after: str = DRAFT,
) -> DifferenceOut:
    """Compare two versions, each a number, `live` or `draft` (what a redeploy deploys)."""
    return DifferenceOut.of(await service.diff(actor.profile_id, deployment_id, before, after))


@router.get("/versions/")
async def list_versions(
    service: Service, actor: Manager, deployment_id: DeploymentId, page: PageRequest = Depends()
) -> VersionPage:
    """List the versions, newest first."""
    return VersionPage.of(await service.page(actor.profile_id, deployment_id, page))


@router.get("/versions/{number}/")
async def show(
    service: Service, actor: Manager, deployment_id: DeploymentId, number: Number
) -> VersionOut:
    """Show one version with its graph."""
    return VersionOut.of(await service.get(actor.profile_id, deployment_id, number))


@router.patch("/versions/{number}/")
async def describe(
    service: Service,
    actor: Manager,
    deployment_id: DeploymentId,
    number: Number,
    body: VersionNoteIn,
) -> VersionOut:
    """Change the name or description of a version; its graph is immutable."""
    change = body.change()
    version = await service.describe(actor.profile_id, deployment_id, number, **change)
    return VersionOut.of(version)


@router.post("/versions/{number}/promote/")
async def promote(
    service: Service, actor: Manager, url: PublicUrl, deployment_id: DeploymentId, number: Number
) -> DeploymentOut:
    """Make a version live, for example to roll back a redeploy."""
    view = await service.promote(actor.profile_id, deployment_id, number)
    return DeploymentOut.of(view, url)
