"""A deployment as it is shown: its row, and what its live version and its flow's draft say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.key_view import IssuedKey
from gateway.deployments.graph_diff import diff_graphs
from gateway.storage.tables import Deployment, DeploymentVersion, Flow

_LIVE = and_(
    DeploymentVersion.deployment_id == Deployment.id,
    DeploymentVersion.version == Deployment.live_version,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentView:
    """A deployment with the models that it runs."""

    row: Deployment
    models: Mapping[str, Any]
    """Node id → pinned model version, as `DeploymentVersion.models`."""
    newest_version: int
    draft_differs: bool
    """Whether a redeploy would push another graph than the live one."""
    key: IssuedKey | None = None
    """The key that was made with it, where the profile had none that covers it."""
    webhook_secret: str | None = None
    """Of the webhook that was made with it, where one was."""


async def load_views(session: AsyncSession, rows: Sequence[Deployment]) -> list[DeploymentView]:
    """Return the deployments with what is known about them, in the same order."""
    facts = await _view_rows(session, [row.id for row in rows])
    return [
        DeploymentView(
            row=row,
            models=facts[row.id].models,
            newest_version=facts[row.id].newest,
            draft_differs=await _draft_differs(session, facts[row.id]),
        )
        for row in rows
    ]


async def load_view(session: AsyncSession, row: Deployment) -> DeploymentView:
    """Return one deployment with what is known about it."""
    (view,) = await load_views(session, [row])
    return view


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
    """Whether the draft is another one; the graphs are read only where the dates do not tell."""
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
