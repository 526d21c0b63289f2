"""Gives users their handles: what names them in addresses of deployments."""

from __future__ import annotations

from functools import partial

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.slugs import free_slug, slug_of
from gateway.storage.sql import advisory_lock
from gateway.storage.tables import MAX_HANDLE_LENGTH, Profile
from protos.errors import ErrorCode


async def lock_handles(session: AsyncSession) -> None:
    """Have other transactions wait that give a user a handle; for one that locks no user yet."""
    await advisory_lock(session, "handles")


async def assign_handle(session: AsyncSession, row: Profile) -> None:
    """Give a user a handle that is made of the e-mail address."""
    await lock_handles(session)
    row.handle = await free_slug(
        slug_of(row.email.partition("@")[0], kind="user", max_length=MAX_HANDLE_LENGTH),
        max_length=MAX_HANDLE_LENGTH,
        is_taken=partial(_is_taken, session),
    )


async def change_handle(session: AsyncSession, row: Profile, handle: str) -> None:
    """Give a user another handle, in all processes, which the caller has locked.

    Raises:
        GatewayError: CONFLICT if another user has it.
    """
    if row.handle == handle:
        return
    if await _is_taken(session, handle):
        message = f"handle: expected one that no other user has, got '{handle}': choose another"
        raise GatewayError(ErrorCode.CONFLICT, message)
    row.handle = handle
    record_change(session, ChangeKind.PROFILE, row.id)


async def ensure_handle(session: AsyncSession, profile_id: str) -> None:
    """Give a user whom a release without handles has made a handle."""
    row = await session.get_one(Profile, profile_id)
    if row.handle is None:
        await assign_handle(session, row)
        record_change(session, ChangeKind.PROFILE, row.id)


async def _is_taken(session: AsyncSession, handle: str) -> bool:
    return bool(await session.scalar(select(exists().where(Profile.handle == handle))))
