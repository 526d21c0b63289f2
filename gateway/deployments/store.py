"""Database queries for deployments and their versions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import delete, false, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from gateway.deployments.rollout_settings import Cause, RolloutState
from gateway.deployments.settings import DeploymentStatus, ExecutionMode, ListedStatus
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.clock import now
from gateway.storage.ownership import find_owned
from gateway.storage.paging import NamePart, Page, PageRequest, fetch_page
from gateway.storage.tables import Deployment, DeploymentVersion, Rollout
from protos.errors import ErrorCode

VERSION_NUMBER = re.compile(r"[0-9]{1,9}")
"""A version in a cursor or a parameter."""


async def find_deployment(
    session: AsyncSession, profile_id: str, deployment_id: str, *, lock: bool = False
) -> Deployment:
    """Return the profile's deployment; raise NOT_FOUND, or GONE for a deleted one."""
    deployment = await find_owned(session, Deployment, profile_id, deployment_id, lock=lock)
    if deployment.status == DeploymentStatus.DELETED:
        raise deployment_gone(deployment.id)
    return deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentFilter:
    """Which deployments a list has. A FastAPI dependency."""

    flow_id: str | None = None
    q: NamePart | None = None
    mode: ExecutionMode | None = None
    status: ListedStatus | None = None


ALL = DeploymentFilter()


async def deployment_page(
    session: AsyncSession, profile_id: str, request: PageRequest, wanted: DeploymentFilter
) -> Page[Deployment]:
    """Return a page of the profile's deployments that match, without deleted ones."""
    statement = select(Deployment).where(
        Deployment.profile_id == profile_id, Deployment.status != DeploymentStatus.DELETED
    )
    if wanted.flow_id is not None:
        flow_id = wanted.flow_id.lower()
        statement = statement.where(Deployment.flow_id == flow_id if is_id(flow_id) else false())
    if wanted.q:
        statement = statement.where(Deployment.name.icontains(wanted.q, autoescape=True))
    if wanted.mode is not None:
        statement = statement.where(Deployment.execution_mode == wanted.mode)
    if wanted.status is not None:
        statement = statement.where(Deployment.status == wanted.status)
    return await fetch_page(session, statement, Deployment, request)


async def live_version(session: AsyncSession, deployment: Deployment) -> DeploymentVersion:
    """Return the live version."""
    key = (deployment.id, deployment.live_version)
    return await session.get_one(DeploymentVersion, key)


async def begin_promotion(session: AsyncSession, deployment_id: str) -> int:
    """Start a redeploy or promotion, and return its sequence number."""
    sequence = (
        update(Deployment)
        .where(Deployment.id == deployment_id)
        .values(rollout_seq=Deployment.rollout_seq + 1, updated_at=Deployment.updated_at)
        .returning(Deployment.rollout_seq)
        .execution_options(synchronize_session=False)
    )
    return (await session.execute(sequence)).scalar_one()


def claim_promotion(deployment: Deployment, sequence: int) -> None:
    """Record that this version goes live; raise CONFLICT if a later one is already live."""
    if deployment.live_rollout_seq > sequence:
        message = (
            f"deployment '{deployment.name}': a later redeploy or promotion is already live, as "
            f"version {deployment.live_version}: nothing was changed"
        )
        raise GatewayError(ErrorCode.CONFLICT, message)
    deployment.live_rollout_seq = sequence


async def find_rollout(session: AsyncSession, deployment_id: str) -> Rollout | None:
    """Return the last canary or shadow of a deployment, running or ended."""
    return await session.get(Rollout, deployment_id)


async def running_rollout(session: AsyncSession, deployment: Deployment) -> Rollout | None:
    """Return the rollout of a deployment, which is locked, if it is running."""
    rollout = await session.get(Rollout, deployment.id, populate_existing=True)
    running = rollout is not None and rollout.state == RolloutState.RUNNING
    return rollout if running else None


async def delete_rollout(session: AsyncSession, deployment_id: str) -> None:
    """Delete what is known of a deployment's last rollout."""
    await session.execute(delete(Rollout).where(Rollout.deployment_id == deployment_id))


def end_rollout(
    rollout: Rollout, state: RolloutState, reason: str, cause: Cause | None = None
) -> None:
    """End a running rollout."""
    rollout.state = state
    rollout.reason = reason
    rollout.cause = cause
    rollout.ended_at = now()


def end_by_promotion(deployment: Deployment, rollout: Rollout) -> None:
    """End a running rollout, as another version than its baseline is live now."""
    if rollout.candidate == deployment.live_version:
        end_rollout(rollout, RolloutState.PROMOTED, "a person has promoted the version")
    else:
        reason = f"version {deployment.live_version} went live"
        end_rollout(rollout, RolloutState.SUPERSEDED, reason)


async def find_version(
    session: AsyncSession, deployment: Deployment, number: int
) -> DeploymentVersion:
    """Return one version.

    Raises:
        GatewayError: NOT_FOUND with the existing numbers; GONE if it was pruned.
    """
    newest = await newest_version(session, deployment)
    if not 1 <= number <= newest:
        numbers = "1" if newest == 1 else f"1 to {newest}"
        message = f"deployment '{deployment.name}' has no version {number}: expected {numbers}"
        raise GatewayError(ErrorCode.NOT_FOUND, message)
    version = await session.get(DeploymentVersion, (deployment.id, number))
    if version is None:
        message = (
            f"version {number} of deployment '{deployment.name}' was deleted: of those that nothing"
            " runs, the newest are kept (setting SLIPSTREAM_DEPLOYMENT_VERSIONS)"
        )
        raise GatewayError(ErrorCode.GONE, message)
    return version


async def newest_version(session: AsyncSession, deployment: Deployment) -> int:
    """Return the highest version number: the newest version is never pruned."""
    newest = select(func.max(DeploymentVersion.version)).where(
        DeploymentVersion.deployment_id == deployment.id
    )
    return (await session.execute(newest)).scalar_one()


async def version_page(
    session: AsyncSession, deployment: Deployment, request: PageRequest
) -> Page[DeploymentVersion]:
    """Return a page of the versions, newest first, without their graphs.

    Raises:
        GatewayError: INVALID_REQUEST if the cursor is invalid.
    """
    statement = select(DeploymentVersion).where(DeploymentVersion.deployment_id == deployment.id)
    if request.cursor is not None:
        if not VERSION_NUMBER.fullmatch(request.cursor):
            message = "cursor: expected a next_cursor of this list, got something else"
            raise GatewayError(ErrorCode.INVALID_REQUEST, f"{message}: leave it out")
        statement = statement.where(DeploymentVersion.version < int(request.cursor))
    ordered = statement.order_by(DeploymentVersion.version.desc()).options(
        defer(DeploymentVersion.definition, raiseload=True)
    )
    rows = list((await session.execute(ordered.limit(request.limit + 1))).scalars())
    items, more = rows[: request.limit], len(rows) > request.limit
    return Page(items=items, next_cursor=str(items[-1].version) if more else None)


def deployment_gone(deployment_id: str) -> GatewayError:
    """Return the error for a deleted deployment."""
    return GatewayError(ErrorCode.GONE, f"deployment '{deployment_id}' was deleted")
