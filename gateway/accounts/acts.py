"""What the trail tells of users, and of those who fail to be one."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.tables import ApiKey, Deployment, Flow, Profile
from gateway.storage.trail import Picture, Subject, record_act


async def record_user(
    session: AsyncSession,
    verb: str,
    row: Profile,
    *,
    before: Picture | None = None,
    after: Picture | None = None,
) -> None:
    """Record, in the caller's transaction, an act on a user, such as `update`."""
    await record_act(
        session,
        action=f"user.{verb}",
        subject_kind=Subject.USER,
        subject_id=row.id,
        subject_name=row.email,
        before=before,
        after=after,
    )


async def record_gone(
    session: AsyncSession, kind: Subject, thing: ApiKey | Deployment | Flow
) -> None:
    """Record, in the caller's transaction, that something went with its user."""
    await record_act(
        session,
        action=f"{kind}.delete",
        subject_kind=kind,
        subject_id=thing.id,
        subject_name=thing.name,
        before={"name": thing.name},
        owner_id=thing.profile_id,
    )


async def record_failures_of(session: AsyncSession, user: Profile, failures: int) -> None:
    """Record that a wrong password was given for a user, so many times by now."""
    await record_act(
        session,
        action="user.fail_login",
        subject_kind=Subject.USER,
        subject_id=user.id,
        subject_name=user.email,
        after={"failures": failures},
        owner_id=user.id,
    )


async def record_failures_from(session: AsyncSession, address: str, failures: int) -> None:
    """Record that so many log-ins from an address have failed, whoever they were for."""
    await record_act(
        session,
        action="address.fail_login",
        subject_kind=Subject.ADDRESS,
        subject_id=address,
        after={"failures": failures},
    )
