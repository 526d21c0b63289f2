"""Rows of profiles and API keys."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.identity import Scope
from gateway.ids import is_id
from gateway.storage.ownership import find_owned
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.tables import ApiKey, Deployment, Profile


async def profile_with_role(session: AsyncSession, role: str) -> Profile | None:
    """Return the oldest active profile in `role`."""
    found = select(Profile).where(Profile.role == role, Profile.state == "active")
    statement = found.order_by(Profile.created_at, Profile.id)
    return (await session.execute(statement.limit(1))).scalar_one_or_none()


async def key_with_hash(session: AsyncSession, digest: bytes) -> ApiKey | None:
    """Return the key that hashes to `digest`, in whatever state."""
    statement = select(ApiKey).where(ApiKey.hash == digest.hex())
    return (await session.execute(statement)).scalar_one_or_none()


async def holder_of(session: AsyncSession, key: ApiKey) -> Profile | None:
    """Return the profile that the key belongs to."""
    return await session.get(Profile, key.profile_id)


async def key_page(session: AsyncSession, profile_id: str, request: PageRequest) -> Page[ApiKey]:
    """Return a page of the profile's keys."""
    statement = select(ApiKey).where(ApiKey.profile_id == profile_id)
    return await fetch_page(session, statement, ApiKey, request)


async def find_key(
    session: AsyncSession, profile_id: str, key_id: str, *, lock: bool = False
) -> ApiKey:
    """Return the profile's key, or raise NOT_FOUND."""
    return await find_owned(session, ApiKey, profile_id, key_id, lock=lock)


async def trigger_keys(session: AsyncSession, profile_id: str) -> list[ApiKey]:
    """Return the profile's active keys of scope `trigger`."""
    statement = select(ApiKey).where(
        ApiKey.profile_id == profile_id, ApiKey.state == "active", ApiKey.scope == Scope.TRIGGER
    )
    return list((await session.execute(statement)).scalars())


async def missing_deployments(
    session: AsyncSession, profile_id: str, deployment_ids: Collection[str]
) -> set[str]:
    """Return those of `deployment_ids` that are no deployments of the profile in use."""
    statement = select(Deployment.id).where(
        Deployment.id.in_([name for name in deployment_ids if is_id(name)]),
        Deployment.profile_id == profile_id,
        Deployment.status != "deleted",
    )
    return set(deployment_ids) - set((await session.execute(statement)).scalars())
