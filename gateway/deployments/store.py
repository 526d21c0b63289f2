"""Rows of deployments and their versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, false, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments.modes import Status
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.ownership import find_owned
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.tables import Deployment, DeploymentVersion
from protos.errors import ErrorCode


async def find_deployment(
    session: AsyncSession, profile_id: str, deployment_id: str, *, lock: bool = False
) -> Deployment:
    """Return the profile's deployment; raise NOT_FOUND, or GONE for a deleted one."""
    deployment = await find_owned(session, Deployment, profile_id, deployment_id, lock=lock)
    if deployment.status == Status.DELETED:
        raise gone(deployment.id)
    return deployment


async def deployment_page(
    session: AsyncSession, profile_id: str, request: PageRequest, flow_id: str | None
) -> Page[Deployment]:
    """Return a page of the profile's deployments in use, of one flow or of all."""
    statement = select(Deployment).where(
        Deployment.profile_id == profile_id, Deployment.status != Status.DELETED
    )
    if flow_id is not None:
        known = Deployment.flow_id == flow_id.lower() if is_id(flow_id) else false()
        statement = statement.where(known)
    return await fetch_page(session, statement, Deployment, request)


async def live_version(session: AsyncSession, deployment: Deployment) -> DeploymentVersion:
    """Return the snapshot that the deployment runs."""
    key = (deployment.id, deployment.live_version)
    return await session.get_one(DeploymentVersion, key)


async def live_models(
    session: AsyncSession, deployments: Sequence[Deployment]
) -> dict[str, dict[str, Any]]:
    """Return, by deployment, the models of the snapshots that the deployments run."""
    live = and_(
        DeploymentVersion.deployment_id == Deployment.id,
        DeploymentVersion.version == Deployment.live_version,
    )
    statement = (
        select(DeploymentVersion.deployment_id, DeploymentVersion.models)
        .join(Deployment, live)
        .where(Deployment.id.in_([deployment.id for deployment in deployments]))
    )
    return {row.deployment_id: row.models for row in await session.execute(statement)}


def gone(deployment_id: str) -> GatewayError:
    """Return the error for a tombstone."""
    return GatewayError(ErrorCode.GONE, f"deployment '{deployment_id}' was deleted")
