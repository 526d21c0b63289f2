"""The inference servers of versions that a rollout has ended."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments.settings import DeploymentStatus
from gateway.deployments.snapshots import models_of
from gateway.fleet.deployed_servers import lock_servers, release
from gateway.models.called_versions import CALLED_VERSIONS, pin
from gateway.storage.tables import Deployment, DeploymentVersion, Rollout


async def release_servers(session: AsyncSession, rollout: Rollout) -> None:
    """Let those sleep that no deployment calls now, in the transaction that ends the rollout."""
    await session.flush()
    versions = select(DeploymentVersion).where(
        DeploymentVersion.deployment_id == rollout.deployment_id,
        DeploymentVersion.version.in_([rollout.baseline, rollout.candidate]),
    )
    models = {
        model
        for version in (await session.execute(versions)).scalars()
        for model in models_of(version)
    }
    servers = await lock_servers(session, models)  # first: a deployment may be about to call one
    called = await _called(session, {server.model for server in servers})
    for server in servers:
        if (server.model, server.version) not in called:
            release(session, server)


async def _called(session: AsyncSession, names: Collection[str]) -> set[tuple[str, int]]:
    """Return which versions of some models deployments call: live, or in a rollout."""
    model, version = pin("model"), pin("version")
    called = (
        select(model, version)
        .select_from(CALLED_VERSIONS)
        .where(Deployment.status != DeploymentStatus.DELETED, model.in_(names))
        .distinct()
    )
    return {(name, int(number)) for name, number in await session.execute(called)}
