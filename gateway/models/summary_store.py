"""Rows that belong to the models of a page: their inference servers, and who has pinned them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import distinct, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import ModelUser
from gateway.models.called_versions import CALLED_VERSIONS, pin
from gateway.storage.tables import Deployment, InferenceServer

_MAX_SERVERS = 1_000
_MAX_DEPLOYMENTS = 1_000
"""Of the user, for a page."""


class PinnedBy(NamedTuple):
    """A deployment that calls a model, in its live version or in one that a rollout tries."""

    model: str
    version: int
    deployment_id: str
    name: str


async def servers_of(session: AsyncSession, models: Sequence[str]) -> Sequence[InferenceServer]:
    """Return the inference servers of models, the newest versions first."""
    statement = (
        select(InferenceServer)
        .where(InferenceServer.model.in_(models))
        .order_by(InferenceServer.model, InferenceServer.version.desc())
        .limit(_MAX_SERVERS)
    )
    return (await session.execute(statement)).scalars().all()


async def own_deployments_of(
    session: AsyncSession, models: Sequence[str], user: ModelUser
) -> Sequence[PinnedBy]:
    """Return the deployments of `user` that call one of the models, the newest first."""
    model, version = pin("model"), pin("version")
    statement = (
        select(model, version, Deployment.id, Deployment.name, Deployment.created_at)
        .select_from(CALLED_VERSIONS)
        .where(Deployment.status != "deleted", Deployment.profile_id == user.profile_id)
        .where(model.in_(models))
        .distinct()
        .order_by(Deployment.created_at.desc(), Deployment.id, version)
        .limit(_MAX_DEPLOYMENTS)
    )
    return [
        PinnedBy(of, int(number), deployment_id, name)
        for of, number, deployment_id, name, _ in await session.execute(statement)
    ]


async def count_callers(session: AsyncSession) -> Mapping[str, Mapping[str, int]]:
    """Return model → user → how many deployments of the user call it; it reads all pins."""
    model = pin("model")
    statement = (
        select(model, Deployment.profile_id, func.count(distinct(Deployment.id)))
        .select_from(CALLED_VERSIONS)
        .where(Deployment.status != "deleted")
        .group_by(model, Deployment.profile_id)
    )
    callers: dict[str, dict[str, int]] = defaultdict(dict)
    for name, profile_id, number in await session.execute(statement):
        callers[name][profile_id] = int(number)
    return callers
