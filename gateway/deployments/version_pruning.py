"""Deletes versions of deployments that nothing runs, when a newer one is added."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments import store
from gateway.storage.run_tables import RunRow
from gateway.storage.sql import sql_literal
from gateway.storage.tables import Deployment, DeploymentVersion

_AT_ONCE = 20
"""Versions of up to 4 MiB: other writers of SQLite wait meanwhile. The others go with the next."""


async def prune_versions(
    session: AsyncSession, deployment: Deployment, *, newest: int, replaced: int, kept: int
) -> None:
    """Delete old versions of a deployment, which is locked; the `kept` newest stay.

    So do those that run: the live one, the one that it has just `replaced`, which other gateways
    still call, those of the last rollout, and those of runs that have not ended.
    """
    old = (
        DeploymentVersion.deployment_id == deployment.id,
        DeploymentVersion.version <= newest - kept,
    )
    found = select(DeploymentVersion.version).where(*old).order_by(DeploymentVersion.version)
    if (await session.execute(found.limit(1))).first() is None:
        return
    running = {deployment.live_version, replaced, *await _versions_of_runs(session, deployment.id)}
    rollout = await store.find_rollout(session, deployment.id)
    if rollout is not None:
        running |= {rollout.baseline, rollout.candidate}
    unused = found.where(DeploymentVersion.version.not_in(running)).limit(_AT_ONCE)
    numbers = list((await session.execute(unused)).scalars())
    if numbers:
        await session.execute(
            delete(DeploymentVersion)
            .where(old[0], DeploymentVersion.version.in_(numbers))
            .execution_options(synchronize_session=False)
        )


async def _versions_of_runs(session: AsyncSession, deployment_id: str) -> set[int]:
    """Return the versions of the runs that have not ended."""
    statement = (
        select(RunRow.version)
        .where(
            RunRow.deployment_id == deployment_id,
            RunRow.status != sql_literal("completed"),  # of the partial index
            RunRow.status.in_(("queued", "running")),
        )
        .distinct()
    )
    return set((await session.execute(statement)).scalars())
