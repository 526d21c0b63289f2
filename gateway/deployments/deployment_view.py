"""Loads deployments for display: the row, its live version, and whether the draft differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.key_view import IssuedKey
from gateway.deployments.deployment_warnings import DeploymentWarning, warnings_of
from gateway.deployments.graph_diff import diff_graphs
from gateway.deployments.plan import DeploymentPlan
from gateway.deployments.readiness import (
    Readiness,
    load_servers,
    load_unexplained,
    models_in,
    readiness_of,
)
from gateway.storage.tables import Deployment, DeploymentVersion, Flow, Profile, Rollout
from gateway.usage.recent import NO_USAGE, RecentUsage, load_recent

_LIVE = and_(
    DeploymentVersion.deployment_id == Deployment.id,
    DeploymentVersion.version == Deployment.live_version,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentView:
    """A deployment with data of its live version."""

    row: Deployment
    handle: str | None
    """The owner's, for its readable address."""
    models: Mapping[str, Any]
    """Node id → pinned model version, as `DeploymentVersion.models`."""
    newest_version: int
    draft_differs: bool
    """Whether the flow's draft has another graph than the live version."""
    warnings: Sequence[DeploymentWarning]
    rollout: Rollout | None
    """The last one, running or ended."""
    readiness: Readiness | None
    """Of its inference servers; None: it calls no model."""
    usage: RecentUsage
    key: IssuedKey | None = None
    """The key created with the deployment, if no active key covered it."""
    webhook_secret: str | None = None
    """The secret of the webhook that was just created, if any."""
    plan: DeploymentPlan | None = None
    """What was found out when it was made, if it was just now."""


async def load_deployment_views(
    session: AsyncSession, rows: Sequence[Deployment]
) -> list[DeploymentView]:
    """Load the views of deployments, in the same order."""
    ids = [row.id for row in rows]
    facts = await _view_rows(session, ids)
    models = {model for each in facts.values() for model, _ in models_in(each.models)}
    servers = await load_servers(session, models)
    owners = {row.profile_id for row in rows}
    unexplained = {
        owner: await load_unexplained(session, servers, owner) for owner in sorted(owners)
    }
    rollouts = await _rollouts(session, ids)
    handles = await _handles(session, owners)
    usage = await load_recent(session, ids)
    return [
        DeploymentView(
            row=row,
            handle=handles.get(row.profile_id),
            models=facts[row.id].models,
            newest_version=facts[row.id].newest,
            draft_differs=await _draft_differs(session, facts[row.id]),
            warnings=warnings_of(facts[row.id].models, servers),
            rollout=rollouts.get(row.id),
            readiness=readiness_of(facts[row.id].models, servers, unexplained[row.profile_id]),
            usage=usage.get(row.id, NO_USAGE),
        )
        for row in rows
    ]


async def load_deployment_view(session: AsyncSession, row: Deployment) -> DeploymentView:
    """Load the view of one deployment."""
    (view,) = await load_deployment_views(session, [row])
    return view


async def _handles(session: AsyncSession, profiles: Collection[str]) -> dict[str, str | None]:
    statement = select(Profile.id, Profile.handle).where(Profile.id.in_(profiles))
    return {row.id: row.handle for row in await session.execute(statement)}


async def _rollouts(session: AsyncSession, ids: Sequence[str]) -> dict[str, Rollout]:
    statement = select(Rollout).where(Rollout.deployment_id.in_(ids))
    return {row.deployment_id: row for row in (await session.execute(statement)).scalars()}


# Any: a row of columns of several types
async def _view_rows(session: AsyncSession, ids: Sequence[str]) -> dict[str, Row[Any]]:
    newest = (
        select(
            DeploymentVersion.deployment_id, func.max(DeploymentVersion.version).label("version")
        )
        .where(DeploymentVersion.deployment_id.in_(ids))
        .group_by(DeploymentVersion.deployment_id)
        .subquery()
    )
    statement = (
        select(
            Deployment.id,
            DeploymentVersion.models,
            DeploymentVersion.drafted_at,
            newest.c.version.label("newest"),
            Flow.id.label("flow_id"),
            Flow.updated_at,
        )
        .join(DeploymentVersion, _LIVE)
        .join(newest, newest.c.deployment_id == Deployment.id)
        .outerjoin(Flow, Flow.id == Deployment.flow_id)
        .where(Deployment.id.in_(ids))
    )
    return {row.id: row for row in await session.execute(statement)}


async def _draft_differs(session: AsyncSession, facts: Row[Any]) -> bool:
    """Whether the draft differs; the graphs are compared only if the timestamps differ."""
    if facts.flow_id is None or facts.updated_at == facts.drafted_at:
        return False
    graphs = (
        select(DeploymentVersion.definition.label("live"), Flow.definition.label("draft"))
        .join(Deployment, _LIVE)
        .join(Flow, Flow.id == Deployment.flow_id)
        .where(Deployment.id == facts.id)
    )
    found = (await session.execute(graphs)).one()
    return not diff_graphs(found.live, found.draft).empty
