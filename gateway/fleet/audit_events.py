"""Audit events of inference servers: what users request, not what processes do."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.tables import InferenceServer

_DESIRED_COLUMNS = (
    *("model", "version", "flow_id", "desired", "generation", "idle_timeout_seconds"),
    *("replica_range", "target_queue", "host_labels", "batching", "max_run_seconds"),
)


async def record_server(
    session: AsyncSession,
    verb: str,
    server: InferenceServer,
    *,
    before: AuditFields | None = None,
    after: AuditFields | None = None,
) -> None:
    """Record an audit event such as `stop`, in the caller's transaction."""
    await record_event(
        session,
        action=f"inference_server.{verb}",
        target_kind=AuditTarget.INFERENCE_SERVER,
        target_id=server.id,
        target_name=f"{server.model} {server.version}",
        before=before,
        after=after,
    )


def desired_fields(server: InferenceServer) -> dict[str, Any]:
    """Return what users set. Any: the types of the columns."""
    columns = {name: getattr(server, name) for name in _DESIRED_COLUMNS}
    return {**columns, "replicas": server.replica_count}
