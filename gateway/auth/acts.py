"""What the trail tells of API keys."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.tables import ApiKey
from gateway.storage.trail import Picture, Subject, record_act


async def record_key(
    session: AsyncSession,
    verb: str,
    key: ApiKey,
    *,
    before: Picture | None = None,
    after: Picture | None = None,
) -> None:
    """Record, in the caller's transaction, an act on a key, such as `deactivate`."""
    await record_act(
        session,
        action=f"api_key.{verb}",
        subject_kind=Subject.API_KEY,
        subject_id=key.id,
        subject_name=key.name,
        before=before,
        after=after,
        owner_id=key.profile_id,
    )
