"""Audit events of API keys."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.tables import ApiKey


async def record_key(
    session: AsyncSession,
    verb: str,
    key: ApiKey,
    *,
    before: AuditFields | None = None,
    after: AuditFields | None = None,
) -> None:
    """Record `api_key.<verb>` in the caller's transaction."""
    await record_event(
        session,
        action=f"api_key.{verb}",
        target_kind=AuditTarget.API_KEY,
        target_id=key.id,
        target_name=key.name,
        before=before,
        after=after,
        owner_id=key.profile_id,
    )
