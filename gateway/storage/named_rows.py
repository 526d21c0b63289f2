"""Finds deployments and flows by what people call them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.sql import sql_literal
from gateway.storage.tables import Deployment, Flow, Profile

_IS_DELETED = Deployment.status == sql_literal("deleted")
# Repeats the condition of the partial index.
_IS_NOT_DELETED = Deployment.status != sql_literal("deleted")
_MAX_FLOWS = 20


async def deployment_with_slug(session: AsyncSession, profile_id: str, slug: str) -> str | None:
    """Return the id of the profile's deployment with a slug; else of the newest deleted one."""
    with_slug = select(Deployment.id).where(
        Deployment.profile_id == profile_id, Deployment.slug == slug
    )
    newest = with_slug.where(_IS_DELETED).order_by(Deployment.created_at.desc())
    found: str | None = await session.scalar(with_slug.where(_IS_NOT_DELETED))
    return found or await session.scalar(newest.order_by(Deployment.id.desc()).limit(1))


async def deployment_at(session: AsyncSession, handle: str, slug: str) -> Deployment | None:
    """Return the deployment at an address, as `deployment_with_slug` finds it."""
    profile_id = await session.scalar(select(Profile.id).where(Profile.handle == handle))
    found = None if profile_id is None else await deployment_with_slug(session, profile_id, slug)
    return None if found is None else await session.get(Deployment, found)


async def flows_with_name(session: AsyncSession, profile_id: str, name: str) -> list[str]:
    """Return the ids of the profile's flows with a name, in order, at most 20."""
    statement = select(Flow.id).where(Flow.profile_id == profile_id, Flow.name == name)
    ordered = statement.order_by(Flow.id).limit(_MAX_FLOWS)
    return list((await session.execute(ordered)).scalars())
