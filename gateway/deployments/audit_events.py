"""Audit events of deployments and their versions."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.masking import digest
from gateway.storage.tables import Deployment, DeploymentVersion, Rollout


async def record_deployment(
    session: AsyncSession,
    verb: str,
    row: Deployment,
    *,
    before: AuditFields | None = None,
    after: AuditFields | None = None,
) -> None:
    """Record `deployment.<verb>` in the caller's transaction."""
    await record_event(
        session,
        action=f"deployment.{verb}",
        target_kind=AuditTarget.DEPLOYMENT,
        target_id=row.id,
        target_name=row.name,
        before=before,
        after=after,
        owner_id=row.profile_id,
    )


async def record_version_note(
    session: AsyncSession, row: Deployment, version: DeploymentVersion, *, before: AuditFields
) -> None:
    """Record, in the caller's transaction, that a version was named or described."""
    await record_event(
        session,
        action="deployment_version.describe",
        target_kind=AuditTarget.DEPLOYMENT_VERSION,
        target_id=f"{row.id}/{version.version}",
        target_name=f"{row.name}, version {version.version}",
        before=before,
        after=version_note(version),
        owner_id=row.profile_id,
    )


def version_note(version: DeploymentVersion) -> dict[str, Any]:
    """Return the fields of a version that can change. Any: JSON."""
    return {"name": version.name, "description": version.description}


def rollout_fields(rollout: Rollout) -> dict[str, Any]:
    """Return what a rollout is about, and what has become of it. Any: JSON."""
    names = ("strategy", "baseline", "candidate", "weight", "checks", "promote_after_seconds")
    return {name: getattr(rollout, name) for name in (*names, "state", "cause", "reason")}


def live(version: DeploymentVersion) -> dict[str, Any]:
    """Return the deployment's fields that change when a version goes live. Any: JSON."""
    models = {node: f"{pin['model']} {pin['version']}" for node, pin in version.models.items()}
    return {
        "live_version": version.version,
        "models": models,
        "definition": digest(version.definition),
    }
