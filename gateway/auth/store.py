"""Rows of profiles and API keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.identity import Scope
from gateway.auth.key_addresses import KeyUsage
from gateway.ids import is_id
from gateway.storage.ownership import find_owned
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.tables import ApiKey, Deployment, Profile, UtcTime


async def profile_with_role(session: AsyncSession, role: str) -> Profile | None:
    """Return the oldest active profile in `role`."""
    found = select(Profile).where(Profile.role == role, Profile.state == "active")
    statement = found.order_by(Profile.created_at, Profile.id)
    return (await session.execute(statement.limit(1))).scalar_one_or_none()


async def key_with_hash(session: AsyncSession, digest: bytes) -> ApiKey | None:
    """Return the key with this hash, in any state."""
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
    """Return those of `deployment_ids` that are not deployments of the profile."""
    statement = select(Deployment.id).where(
        Deployment.id.in_([name for name in deployment_ids if is_id(name)]),
        Deployment.profile_id == profile_id,
        Deployment.status != "deleted",
    )
    return set(deployment_ids) - set((await session.execute(statement)).scalars())


async def deployments_in_use(session: AsyncSession, profile_id: str) -> set[str]:
    """Return the ids of the profile's deployments, without the deleted ones."""
    statement = select(Deployment.id).where(
        Deployment.profile_id == profile_id, Deployment.status != "deleted"
    )
    return set((await session.execute(statement)).scalars())


async def successors(session: AsyncSession, key: ApiKey) -> list[ApiKey]:
    """Return the chain of keys that replaced `key`, up to the first deleted one."""
    found: list[ApiKey] = []
    last = key
    while last.replaced_by is not None:
        replacement = await session.get(ApiKey, last.replaced_by, with_for_update=True)
        if replacement is None:
            break
        found.append(replacement)
        last = replacement
    return found


async def predecessor(session: AsyncSession, key: ApiKey) -> ApiKey | None:
    """Return the key that `key` replaced, if it still exists."""
    return None if key.replaces is None else await session.get(ApiKey, key.replaces)


async def replaced_by(session: AsyncSession, key: ApiKey) -> set[str]:
    """Return the ids of the keys that `key` replaced, directly or through other keys."""
    found: set[str] = set()
    rows: Sequence[Any] = [key]
    while rows:
        found |= {row.replaces for row in rows if row.replaces is not None}  # may be deleted
        statement = select(ApiKey.id, ApiKey.replaces).where(
            ApiKey.profile_id == key.profile_id,
            ApiKey.replaced_by.in_([row.id for row in rows]),
        )
        rows = (await session.execute(statement)).all()
        found |= {row.id for row in rows}
    return found


async def add_usage(session: AsyncSession, uses: Mapping[str, KeyUsage]) -> dict[str, KeyUsage]:
    """Add uses to keys by id, in one statement; return those of keys that are not deleted."""
    # Lock in the order of ids, so that two processes writing at once cannot deadlock.
    locked = (
        select(ApiKey.id).where(ApiKey.id.in_(list(uses))).order_by(ApiKey.id).with_for_update()
    )
    values: dict[str, ColumnElement[Any]] = {}
    if used := {key_id: each for key_id, each in uses.items() if each.total}:
        totals = {key_id: each.total for key_id, each in used.items()}
        rotated = {key_id: each.since_rotation for key_id, each in used.items()}
        last = {key_id: literal(each.last_at, UtcTime()) for key_id, each in used.items()}
        addresses = {
            key_id: literal(each.last_address or None, ApiKey.last_address.type)
            for key_id, each in used.items()
        }
        values |= {
            "total_uses": ApiKey.total_uses + _by_id(totals, else_=0),
            "uses_since_rotation": ApiKey.uses_since_rotation + _by_id(rotated, else_=0),
            "last_used_at": _by_id(last, else_=ApiKey.last_used_at),
            "last_address": _by_id(addresses, else_=ApiKey.last_address),
        }
    if refused := {key_id: each for key_id, each in uses.items() if each.refused}:
        counts = {key_id: each.refused for key_id, each in refused.items()}
        last = {
            key_id: literal(each.last_refused_at, UtcTime()) for key_id, each in refused.items()
        }
        values |= {
            "refused_uses": ApiKey.refused_uses + _by_id(counts, else_=0),
            "last_refused_at": _by_id(last, else_=ApiKey.last_refused_at),
        }
    statement = update(ApiKey).where(ApiKey.id.in_(locked)).values(values).returning(ApiKey.id)
    known = await session.execute(statement, execution_options={"synchronize_session": False})
    return {key_id: uses[key_id] for key_id in known.scalars()}


# Any: the columns have several types
def _by_id(values: Mapping[str, Any], *, else_: Any) -> ColumnElement[Any]:
    return case(values, value=ApiKey.id, else_=else_)
