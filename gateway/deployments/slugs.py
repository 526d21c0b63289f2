"""Gives deployments their slugs: what names them in readable addresses."""

from __future__ import annotations

from functools import partial

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.handles import ensure_handle
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.slugs import check_form, free_slug, slug_of
from gateway.storage.sql import advisory_lock, sql_literal
from gateway.storage.tables import MAX_SLUG_LENGTH, Deployment
from protos.errors import ErrorCode

_KIND = "deployment"
_PRESETS = "presets"
"""`/node/deployments/presets/` is no deployment."""


def check_slug(slug: str) -> str:
    """Return a slug; raise ValueError for other text, and for what could mean something else."""
    check_form(slug, max_length=MAX_SLUG_LENGTH)
    if is_id(slug):
        message = "expected something else than an id, so that each address names one deployment"
        raise ValueError(message)
    if slug == _PRESETS:
        raise ValueError(f"expected something else than '{_PRESETS}', which is a path of its own")
    return slug


async def lock_slugs(session: AsyncSession, profile_id: str) -> None:
    """Have other transactions wait that give a deployment of the profile a slug.

    For a transaction that locks no row yet.
    """
    await advisory_lock(session, f"slugs of {profile_id}")


async def assign_slug(session: AsyncSession, row: Deployment) -> None:
    """Give a new deployment without a slug one that is made of its name; check one that has it.

    The slugs are locked. Its owner gets a handle if a release without handles has made the user.

    Raises:
        GatewayError: CONFLICT if another deployment of the owner has the slug.
    """
    await ensure_handle(session, row.profile_id)
    if row.slug is not None:
        await check_free(session, row.profile_id, row.slug)
        return
    slug = slug_of(row.name, kind=_KIND, max_length=MAX_SLUG_LENGTH)
    row.slug = await free_slug(
        f"{_KIND}-{slug}" if slug == _PRESETS else slug,
        max_length=MAX_SLUG_LENGTH,
        is_taken=partial(_is_taken, session, row.profile_id),
    )


async def check_free(session: AsyncSession, profile_id: str, slug: str) -> None:
    """Raise CONFLICT if a deployment of the profile has the slug and is not deleted."""
    if await _is_taken(session, profile_id, slug):
        message = (
            f"slug: expected one that none of your deployments has, got '{slug}': choose another"
        )
        raise GatewayError(ErrorCode.CONFLICT, message)


async def _is_taken(session: AsyncSession, profile_id: str, slug: str) -> bool:
    taken = exists().where(
        Deployment.profile_id == profile_id,
        Deployment.slug == slug,
        Deployment.status != sql_literal("deleted"),  # repeats the condition of the partial index
    )
    return bool(await session.scalar(select(taken)))
