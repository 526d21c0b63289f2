"""What the trail tells of inference servers: what people wish of them, not what becomes of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.audit_events import AuditFields, AuditTarget, record_event
from gateway.storage.tables import InferenceServer

_DESIRED_COLUMNS = ("model", "version", "flow_id", "desired", "generation", "idle_timeout_seconds")


async def record_server(
    session: AsyncSession,
    verb: str,
    server: InferenceServer,
    *,
    before: AuditFields | None = None,
    after: AuditFields | None = None,
) -> None:
    """Record, in the caller's transaction, an act on an inference server, such as `stop`."""
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
    """Return what is wished of a server. Any: the types of its columns."""
    return {name: getattr(server, name) for name in _DESIRED_COLUMNS}
