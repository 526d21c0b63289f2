"""What the trail tells of deployments and their versions."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.masking import digest
from gateway.storage.tables import Deployment, DeploymentVersion
from gateway.storage.trail import Picture, Subject, record_act


async def record_deployment(
    session: AsyncSession,
    verb: str,
    row: Deployment,
    *,
    before: Picture | None = None,
    after: Picture | None = None,
) -> None:
    """Record, in the caller's transaction, an act on a deployment, such as `pause`."""
    await record_act(
        session,
        action=f"deployment.{verb}",
        subject_kind=Subject.DEPLOYMENT,
        subject_id=row.id,
        subject_name=row.name,
        before=before,
        after=after,
        owner_id=row.profile_id,
    )


async def record_note(
    session: AsyncSession, row: Deployment, version: DeploymentVersion, *, before: Picture
) -> None:
    """Record, in the caller's transaction, that a version was named or described; see `noted`."""
    await record_act(
        session,
        action="deployment_version.describe",
        subject_kind=Subject.DEPLOYMENT_VERSION,
        subject_id=f"{row.id}/{version.version}",
        subject_name=f"{row.name}, version {version.version}",
        before=before,
        after=noted(version),
        owner_id=row.profile_id,
    )


def noted(version: DeploymentVersion) -> dict[str, Any]:
    """Return what can change about a version. Any: JSON."""
    return {"name": version.name, "description": version.description}


def live(version: DeploymentVersion) -> dict[str, Any]:
    """Return what a version makes of its deployment when it goes live. Any: JSON."""
    models = {node: f"{pin['model']} {pin['version']}" for node, pin in version.models.items()}
    return {
        "live_version": version.version,
        "models": models,
        "definition": digest(version.definition),
    }
