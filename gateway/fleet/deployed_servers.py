"""The inference servers of model versions that deployments begin or cease to call.

A rollout keeps the servers of a version that it is about to call, and releases those of one that it
has ended. All functions act in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.fleet.states import NeededBy
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.tables import InferenceServer


async def lock_servers(
    session: AsyncSession, models: Collection[tuple[str, int]]
) -> Sequence[InferenceServer]:
    """Return the servers of model versions, locked until the caller's transaction ends."""
    servers = (
        select(InferenceServer)
        .where(tuple_(InferenceServer.model, InferenceServer.version).in_(models))
        .order_by(InferenceServer.id)
        .with_for_update()
    )
    return (await session.execute(servers)).scalars().all()


async def keep(session: AsyncSession, models: Collection[tuple[str, int]]) -> None:
    """Note, in the caller's transaction, that a deployment is about to call model versions."""
    for server in await lock_servers(session, models):
        if server.needed_by == NeededBy.NOTHING:
            server.needed_by = NeededBy.DEPLOYMENT
            record_change(session, ChangeKind.INFERENCE_SERVER, server.id)


def release(session: AsyncSession, server: InferenceServer) -> None:
    """Let a server sleep that no deployment calls now, unless a person has asked for it."""
    if server.needed_by == NeededBy.DEPLOYMENT:
        server.needed_by = NeededBy.NOTHING
        record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
