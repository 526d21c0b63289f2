"""Which rows use a model version."""

from __future__ import annotations

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.tables import Deployment, DeploymentVersion, InferenceServer


async def users_of(session: AsyncSession, model: str, version: int) -> list[str]:
    """Return the inference servers and live deployments that use a version, for a message."""
    servers = select(InferenceServer.id).where(
        InferenceServer.model == model,
        InferenceServer.version == version,
        InferenceServer.desired != "stopped",
    )
    found = [f"inference server {row}" for row in (await session.execute(servers)).scalars()]
    live = and_(
        DeploymentVersion.deployment_id == Deployment.id,
        DeploymentVersion.version == Deployment.live_version,
    )
    pins = (
        select(Deployment.name, DeploymentVersion.models)
        .join(DeploymentVersion, live)
        .where(Deployment.status != "deleted")
    )
    wanted = (model, version)
    for name, models in await session.execute(pins):
        if wanted in {(pin["model"], pin["version"]) for pin in models.values()}:
            found.append(f"deployment '{name}'")
    return found
