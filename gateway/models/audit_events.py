"""Audit events of models."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import Visibility
from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.tables import Model


async def record_model(
    session: AsyncSession,
    verb: str,
    name: str,
    row: Model | None,
    *,
    before: AuditFields | None = None,
    after: AuditFields | None = None,
) -> None:
    """Record an event such as `publish`, in the caller's transaction."""
    await record_event(
        session,
        action=f"model.{verb}",
        target_kind=AuditTarget.MODEL,
        target_id=name,
        target_name=name,
        before=before,
        after=after,
        owner_id=None if row is None else row.owner_id,
    )


def ownership_fields(row: Model | None) -> dict[str, Any]:
    """Return whose a model is, and who may use it. Any: the types of the columns."""
    if row is None:
        return {"visibility": Visibility.SHARED, "owner_id": None}
    return {"visibility": row.visibility, "owner_id": row.owner_id}


def label_fields(label: str, version: int | None) -> AuditFields:
    """Return the fields of a label, whose name is no key: one called `token` would be masked."""
    return {"label": f"{label}: {version or 'nothing'}"}
