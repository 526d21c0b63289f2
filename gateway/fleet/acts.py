"""What the trail tells of inference servers: what people wish of them, not what becomes of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.tables import InferenceServer
from gateway.storage.trail import Picture, Subject, record_act

_WISHED = ("model", "version", "flow_id", "desired", "generation", "idle_timeout_seconds")


async def record_server(
    session: AsyncSession,
    verb: str,
    server: InferenceServer,
    *,
    before: Picture | None = None,
    after: Picture | None = None,
) -> None:
    """Record, in the caller's transaction, an act on an inference server, such as `stop`."""
    await record_act(
        session,
        action=f"inference_server.{verb}",
        subject_kind=Subject.INFERENCE_SERVER,
        subject_id=server.id,
        subject_name=f"{server.model} {server.version}",
        before=before,
        after=after,
    )


def wish(server: InferenceServer) -> dict[str, Any]:
    """Return what is wished of a server. Any: the types of its columns."""
    return {name: getattr(server, name) for name in _WISHED}
