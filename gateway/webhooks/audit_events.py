"""Audit events of webhooks; without secrets."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.webhook_tables import WebhookEndpoint


async def record_webhook_event(
    session: AsyncSession,
    verb: str,
    *,
    deployment_id: str,
    owner_id: str,
    before: AuditFields | None = None,
    after: AuditFields | None = None,
) -> None:
    """Record, in the caller's transaction, an act on a deployment's webhook, such as `rotate`."""
    await record_event(
        session,
        action=f"webhook.{verb}",
        target_kind=AuditTarget.WEBHOOK,
        target_id=deployment_id,
        before=before,
        after=after,
        owner_id=owner_id,
    )


def public_fields(row: WebhookEndpoint) -> Mapping[str, object]:
    """Return an endpoint's editable fields, without its secrets and delivery status."""
    return {
        "state": row.state,
        "disabled_reason": row.disabled_reason,
        "rotated_at": row.rotated_at,
        "overlap_until": row.overlap_until,
    }
