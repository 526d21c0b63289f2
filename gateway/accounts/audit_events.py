"""Audit events of users and of failed logins."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.tables import ApiKey, Deployment, Flow, Model, Profile


async def record_user(
    session: AsyncSession,
    verb: str,
    row: Profile,
    *,
    before: AuditFields | None = None,
    after: AuditFields | None = None,
) -> None:
    """Record `user.<verb>` in the caller's transaction."""
    await record_event(
        session,
        action=f"user.{verb}",
        target_kind=AuditTarget.USER,
        target_id=row.id,
        target_name=row.email,
        before=before,
        after=after,
    )


async def record_deleted_with_user(
    session: AsyncSession, kind: AuditTarget, thing: ApiKey | Deployment | Flow
) -> None:
    """Record, in the caller's transaction, that something was deleted with its user."""
    await record_event(
        session,
        action=f"{kind}.delete",
        target_kind=kind,
        target_id=thing.id,
        target_name=thing.name,
        before={"name": thing.name},
        owner_id=thing.profile_id,
    )


async def record_released_model(session: AsyncSession, model: Model) -> None:
    """Record, in the caller's transaction, that a model goes to the installation with its user."""
    await record_event(
        session,
        action="model.update",
        target_kind=AuditTarget.MODEL,
        target_id=model.name,
        target_name=model.name,
        before={"owner_id": model.owner_id},
        after={"owner_id": None},
        owner_id=model.owner_id,
    )


async def record_failures_for_user(session: AsyncSession, user: Profile, failures: int) -> None:
    """Record a failed login of a user; `failures` is the count so far."""
    await record_event(
        session,
        action="user.fail_login",
        target_kind=AuditTarget.USER,
        target_id=user.id,
        target_name=user.email,
        after={"failures": failures},
        owner_id=user.id,
    )


async def record_failures_from(session: AsyncSession, address: str, failures: int) -> None:
    """Record the number of failed logins from an address, for any users."""
    await record_event(
        session,
        action="address.fail_login",
        target_kind=AuditTarget.ADDRESS,
        target_id=address,
        after={"failures": failures},
    )
